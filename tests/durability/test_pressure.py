"""Redis is full, nobody stores results, and all ends well once somebody does.

``python -m tests.durability.pressure`` does the same with 5,000 devices and 256 MB.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import missing
from tests.durability.pressure import Broker, run
from tests.servers import ServerMissingError

pytestmark = [pytest.mark.services, pytest.mark.durability]


@pytest.mark.parametrize("broker", ["rabbitmq", "redis"])
def test_workers_stop_by_themselves_and_every_device_is_stored_after_one_login(broker: Broker, tmp_path: Path) -> None:
    """Redis has room for about half of the results."""
    try:
        outcome = run(tmp_path, broker=broker, devices=100, size_kb=100, redis_mb=6, concurrency=8)
    except ServerMissingError as error:
        missing(str(error))
    assert outcome.is_good, outcome.table()
