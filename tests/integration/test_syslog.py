"""A change that a device tells of by syslog, from a real socket to a stored revision."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.demo.processes import Daemon
from devicevault.store import open_store
from devicevault.store.reader import ResultSummary, device_results, find_device
from devicevault.store.runs import recent_runs
from tests.installation import BIN, GROUP, Installation
from tests.servers import RabbitMQServer, free_port, wait_until

pytestmark = pytest.mark.services

CHANGE = b"<189>45: core-sw1: *Mar  1 00:00:01.123: %SYS-5-CONFIG_I: Configured from console by vty0 (192.0.2.9)"
WITHIN_S = 90


@dataclass
class Vault:
    installation: Installation
    device: SimulatedDevice
    port: int

    def tell(self, *messages: bytes) -> None:
        """Send as the device does: it is on this host."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message, ("127.0.0.1", self.port))

    def syslog(self) -> Daemon:
        daemon = Daemon(
            "syslog", [str(BIN / "devicevault-syslog")], self.installation.folder, self.installation.environment
        )
        self.installation.daemons["syslog"] = daemon
        return daemon

    @property
    def results(self) -> list[ResultSummary]:
        """The device's, newest first."""
        with open_store(self.installation.database_url, migrate=True) as store, store.reading() as session:
            if not recent_runs(session, limit=1):
                return []
            return device_results(session, find_device(session, self.device.name), limit=20)

    def wait_for(self, *statuses: str) -> None:
        """Until the device's results, newest first, stand like this."""
        wait_until(
            lambda: tuple(one.status for one in self.results) == statuses,
            WITHIN_S,
            or_say=lambda: f"{[one.status for one in self.results]}, not {statuses}{self.installation.logs}",
        )


@pytest.fixture
def vault(tmp_path: Path, rabbitmq: RabbitMQServer, redis_url: str, sqlite_url: str) -> Iterator[Vault]:
    port = free_port()
    settings = f'[syslog]\nquiet_s = 1\nmax_wait_s = 5\nlisten = "127.0.0.1:{port}"\n[log]\nlevel = "debug"'
    installation = Installation(tmp_path / "etc", rabbitmq.url, redis_url, sqlite_url, settings_text=settings)
    device = SimulatedDevice("core-sw1")
    with Fleet([device]) as fleet:
        installation.write_inventory(
            f'[groups.{GROUP}]\n[devices.core-sw1]\naddress = "localhost"\nport = {fleet.port("core-sw1")}\n'
            f'platform = "cisco_ios"\ngroup = "{GROUP}"\n'
        )
        installation.write_credentials(
            f'[credentials.default]\nusername = "{device.username}"\npassword = "{device.password}"\n'
        )
        installation.ok("keys", "create")
        yield Vault(installation, device, port)


def test_a_device_that_tells_of_a_change_is_collected_once_it_is_quiet(vault: Vault) -> None:
    installation = vault.installation
    with installation.running(), vault.syslog() as syslog:
        syslog.wait_until_ready()
        # A flood is one collection, and what hostile bytes say is nothing.
        vault.tell(*[CHANGE] * 300, b"<189>\x1b[2J\n%SYS-5-CONFIG_I forged\xff", os.urandom(2000), b"x" * 60_000)
        vault.wait_for("success")
        with open_store(installation.database_url) as store, store.reading() as session:
            [run] = recent_runs(session, limit=5)
        assert (run.kind, run.asked_by, run.device_count) == ("syslog", "change", 1)
        assert "\x1b" not in syslog.log_tail()
        assert "forged" not in syslog.log_tail()

        # While its collection waits, the device is not asked for again: only when that has ended.
        installation.ok("pause", GROUP)
        vault.tell(CHANGE)
        vault.wait_for("queued", "success")
        vault.tell(CHANGE)
        wait_until(lambda: "asked for after that" in syslog.log_tail(), WITHIN_S, or_say=syslog.log_tail)
        vault.wait_for("queued", "success")
        installation.ok("resume", GROUP)
        vault.wait_for("success", "success", "success")

        # At a stop nobody waits until the device is quiet: what is pending is asked for at once.
        installation.ok("pause", GROUP)
        installation.config.write_text(
            installation.config.read_text().replace("quiet_s = 1\nmax_wait_s = 5\n", "quiet_s = 600\n")
        )
        os.kill(syslog.pid, signal.SIGHUP)
        wait_until(lambda: "reloaded; changed settings: syslog" in syslog.log_tail(), WITHIN_S, or_say=syslog.log_tail)
        vault.tell(CHANGE)
    vault.wait_for("queued", "success", "success", "success")
