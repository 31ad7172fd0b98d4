"""Nothing is lost and nothing is a lie while everything DeviceVault relies on breaks, one thing after another.

The large campaign is ``make soak``. ``DURABILITY_SEED`` gives other faults, fates and requests than those below.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.durability.campaign import Plan, run
from tests.durability.conftest import TABLE
from tests.durability.stage import Broker, Database
from tests.servers import ServerMissingError

pytestmark = [pytest.mark.services, pytest.mark.durability]

REQUESTS = 300
FAULTS = 15


@pytest.mark.parametrize(("broker", "database"), [("rabbitmq", "sqlite"), ("redis", "postgresql")])
def test_nothing_is_lost_and_nothing_is_a_lie(
    broker: Broker, database: Database, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each request ends in one row, each success is what the device held, and every fault is recovered from."""
    if os.geteuid() != 0:
        missing("disks that can be filled and workers on hosts of their own need root")
    seed = int(os.environ.get("DURABILITY_SEED", "1"))
    plan = Plan(broker, database, requests=REQUESTS, faults=FAULTS, seed=seed, fleet_size=120)
    try:
        report = run(plan, tmp_path)
    except ServerMissingError as error:
        missing(str(error))
    record_property(TABLE, report.table())

    assert report.is_clean, f"{report.table()}\n\n{report.details()}"
    # The campaign was what it was meant to be ...
    assert report.requests >= REQUESTS
    assert len(report.suffered) >= FAULTS
    # ... and most devices were backed up in it.
    assert report.statuses["success"] > sum(report.statuses.values()) / 2
