"""A backup that is a file and no text: a firewall's archive, a controller's export.

What is compared, shown and mirrored of it is one line that tells its size and its keyed digest; the file itself is the
original, sealed as any other and kept once for as long as it stays the same.
"""

from __future__ import annotations

import hashlib
from typing import Final

from devicevault.collector.seal import Sealer
from devicevault.described import described
from devicevault.messages import Artifact

OCTETS: Final = "application/octet-stream"


def binary_artifact(sealer: Sealer, name: str, content: bytes, media_type: str = OCTETS) -> Artifact:
    """The artifact of a file. Its ``name``, such as ``backup.ucs``, gives an exported file its ending."""
    # No digest is told by which contents could be tried out, unless the file is there to be read anyway.
    digest = sealer.keyed_digest_of(content) or "sha256:" + hashlib.sha256(content).hexdigest()
    text = described(name, len(content), digest)
    original, key_id = sealer.seal(content)
    return Artifact.of(text, name=name, media_type=media_type, original_digest=digest, original=original, key_id=key_id)
