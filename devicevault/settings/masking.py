"""Passwords inside URLs, hidden before anything is shown, logged or raised."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "********"

# Greedy up to the last "@" of a word: an unescaped "@" or "/" in a password must not show its rest.
_USER_PASSWORD: Final = re.compile(r"(?P<start>[a-z][a-z0-9+.-]*://[^:@/\s]*:)[^\s'\"]+(?=@)", re.IGNORECASE)
_QUERY_PASSWORD: Final = re.compile(
    r"(?P<start>[?&;](?:password|passwd|pwd|sslpassword|sentinel_password|secret|token)=)[^&;\s'\"]+", re.IGNORECASE
)


def mask_passwords(text: str) -> str:
    """``text`` with the password of every URL in it replaced by asterisks."""
    return _QUERY_PASSWORD.sub(rf"\g<start>{MASK}", _USER_PASSWORD.sub(rf"\g<start>{MASK}", text))
