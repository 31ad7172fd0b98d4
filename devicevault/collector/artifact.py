"""From a reading to the artifact that travels."""

from __future__ import annotations

import hashlib

from devicevault.collector.binary import OCTETS, binary_artifact
from devicevault.collector.seal import Sealer
from devicevault.collector.session import Reading
from devicevault.errors import ConfigurationTooLarge
from devicevault.messages import Artifact


def artifact_of(reading: Reading, sealer: Sealer, max_mb: float) -> Artifact:
    """The reading, its original sealed. Raises :class:`ConfigurationTooLarge`."""
    source = reading.source
    if source.binary:
        declared = source.media_type
        media_type = OCTETS if declared.startswith("text/") else declared
        return binary_artifact(sealer, source.name, reading.original, media_type)
    text = reading.normalised.text
    encoded = text.encode()
    if len(encoded) > max_mb * 1e6:
        raise ConfigurationTooLarge(f"{source.name} is larger than {max_mb:g} MB", "raise ssh.max_artifact_mb")
    original, key_id = sealer.seal(reading.original)
    return Artifact(
        name=source.name,
        media_type=source.media_type,
        size=len(encoded),
        digest="sha256:" + hashlib.sha256(encoded).hexdigest(),
        original_digest=sealer.keyed_digest(reading.normalised.comparable, reading.normalised.basis),
        is_salted=reading.normalised.salted > 0,
        text=text,
        original=original,
        key_id=key_id,
    )
