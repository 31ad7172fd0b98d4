"""Logins that take their time, and what stands between a device and its first prompt."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import collect
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectResult
from tests.collecting import CREDENTIALS, make_context, request_for


def collected(device: SimulatedDevice, folder: Path, known: str = CREDENTIALS, **ssh: Any) -> CollectResult:
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device), make_context(folder, known, attempts=1, **ssh))


class SlowLogin(SimulatedDevice):
    """Asks a TACACS+ server that is away before the one that answers."""

    judged = threading.Event()

    @property
    def password(self) -> str:
        self.judged.wait(2.5)
        return "correct horse"

    @password.setter
    def password(self, value: str) -> None:
        pass


@pytest.mark.parametrize("methods", [("password",), ("keyboard-interactive",)])
def test_a_login_may_take_longer_than_a_connection(methods: tuple[str, ...], tmp_path: Path) -> None:
    device = SlowLogin("r1", password_methods=methods)
    result = collected(device, tmp_path, connect_timeout_s=1.0)
    assert (result.status, result.error_message) == ("success", "")
    assert device.refusals == 0
