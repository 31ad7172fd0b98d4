"""What a consumer goes by, and may be told anew while it runs."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from devicevault.known_keys import KnownKeys
from devicevault.names import DEFAULT_GROUP
from devicevault.settings import ConsumerSettings, Settings
from devicevault.store.sweep import Waits
from devicevault.vault_keys import PUBLIC, read_key

#: A result may hold this many artifacts of the largest size a session brings home.
ARTIFACTS_OF_LARGEST_SIZE: Final = 4


@dataclass(frozen=True)
class Rules:
    """The settings of the moment."""

    settings: ConsumerSettings
    #: A queued row that outlived these is ended.
    waits: Waits
    #: An original sealed with another key is not kept.
    known_key_ids: Container[str]
    #: Bounds the texts of one result.
    max_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """Raises ConfigurationError for keys that can't be used."""
        if settings.vault.originals == "sealed":
            read_key(settings.vault.public_key, PUBLIC)  # without it every sealed original would be a stranger's
        artifact_mb = max(settings.for_group(group).ssh.max_artifact_mb for group in (DEFAULT_GROUP, *settings.groups))
        return cls(
            settings.consumer,
            Waits.from_settings(settings),
            KnownKeys(settings.vault.public_key),
            int(artifact_mb * 1024 * 1024 * ARTIFACTS_OF_LARGEST_SIZE),
        )
