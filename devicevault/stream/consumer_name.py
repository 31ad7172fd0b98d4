"""What a consumer is called in the consumer group."""

from __future__ import annotations

import socket

from devicevault.settings import Settings


def consumer_name(settings: Settings) -> str:
    """A name that stays the same through a restart, so that the consumer finds its pending entries again."""
    return settings.consumer.name or socket.gethostname()
