"""An SSH host key as it is written, ``type base64``, and as people compare it."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(key: str) -> str:
    """``SHA256:…`` of a key written ``type base64``, as ``ssh-keygen -l`` prints it."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, ValueError):
        return "(unreadable)"
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def described(key: str) -> str:
    """Type and fingerprint of a key; empty where there is none."""
    return f"{key.split()[0]} {fingerprint(key)}" if key.strip() else ""
