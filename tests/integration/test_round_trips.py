"""How often a worker asks Redis for one backup: each time its session waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.connection import AbstractConnection

from devicevault.collector.activity import Activity
from devicevault.collector.admission import Admission
from devicevault.collector.deliveries import Deliveries
from devicevault.collector.holds import Holds
from devicevault.collector.lock import DeviceLocks
from devicevault.collector.logins import GroupLogins
from devicevault.collector.patience import Patience
from devicevault.collector.worker import Worker
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.stream import connect_redis
from tests.collecting import make_context, request_for

pytestmark = pytest.mark.services


def test_a_backup_asks_redis_six_times(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """May it begin, the credential, the lock, the beginning; then the result with the end, and the lock again."""
    sent: list[Any] = []
    send: Any = AbstractConnection.send_packed_command

    def counted(connection: Any, command: Any, *args: Any, **options: Any) -> None:
        sent.append(command)
        send(connection, command, *args, **options)

    redis = connect_redis(redis_url)
    context = make_context(tmp_path)
    context = replace(context, logins=GroupLogins(redis, context.sealer))
    activity = Activity()
    holds = Holds(redis, context.settings, activity)
    patience = Patience(holds, context.stopping)
    locks = DeviceLocks(redis, lifetime_s=600.0, renewal_s=600.0)
    worker = Worker(context, redis, locks, Deliveries(), Admission(redis), holds, patience, activity)
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet, redis:
        # The first one also connects and loads the scripts.
        worker.handle(request_for(fleet, device))
        monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
        result = worker.handle(request_for(fleet, device))
    assert result is not None
    assert result.status == "success"
    assert len(sent) == 6, sent
