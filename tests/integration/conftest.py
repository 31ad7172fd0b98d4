"""What tests of the stream share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from devicevault.stream import connect_redis


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A connection to the test's Redis, as the daemons make it."""
    with connect_redis(redis_url) as connected:
        yield connected
