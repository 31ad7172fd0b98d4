"""From a reading to the artifact that travels."""

from __future__ import annotations

from dataclasses import dataclass

from devicevault.collector.binary import OCTETS, binary_artifact
from devicevault.collector.seal import Sealer
from devicevault.collector.session import Reading
from devicevault.errors import ConfigurationTooLarge
from devicevault.messages import Artifact


@dataclass(frozen=True)
class Packed:
    """What stays of a reading: compressed and sealed, a tenth of it."""

    artifact: Artifact
    #: What proved it whole.
    completeness: str
    is_binary: bool


def artifact_of(reading: Reading, sealer: Sealer, max_mb: float) -> Artifact:
    """The reading, its original sealed. Raises :class:`ConfigurationTooLarge`."""
    source = reading.source
    if source.binary:
        declared = source.media_type
        media_type = OCTETS if declared.startswith("text/") else declared
        return binary_artifact(sealer, source.name, reading.original, media_type)
    text = reading.normalised.text
    if len(text.encode()) > max_mb * 1e6:
        raise ConfigurationTooLarge(f"{source.name} is larger than {max_mb:g} MB", "raise ssh.max_artifact_mb")
    original, key_id = sealer.seal(reading.original)
    return Artifact.of(
        text,
        name=source.name,
        media_type=source.media_type,
        original_digest=sealer.keyed_digest(reading.normalised.comparable, reading.normalised.basis),
        is_salted=reading.normalised.salted > 0,
        original=original,
        key_id=key_id,
    )
