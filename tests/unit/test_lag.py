"""How many results wait, from what Redis says of the stream and its group."""

from __future__ import annotations

from typing import Any

import pytest

from devicevault.stream.lag import lag_of


@pytest.mark.parametrize(
    ("group", "lag"),
    [
        (None, 100),
        ({"last-delivered-id": b"20-2", "lag": 1}, 1),
        ({"last-delivered-id": b"9-0", "lag": None}, 100),
        ({"last-delivered-id": b"9-0"}, 100),
        ({"last-delivered-id": b"20-3", "lag": 2560}, 0),
        ({"last-delivered-id": "20-3", "lag": None}, 0),
        ({"last-delivered-id": b"9-0", "lag": 2560}, 100),
    ],
)
def test_redis_own_count_is_taken_where_it_can_be_right(group: dict[str, Any] | None, lag: int) -> None:
    assert lag_of(100, b"20-3", group) == lag
