"""What daemons tell systemd and the journal."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from logging_journald import JournaldTransport

from devicevault.daemons.journal import JournalHandler, LineFormatter, priority_of
from devicevault.daemons.service import (
    Progress,
    Watchdog,
    notify_ready,
    notify_status,
    run_daemon,
    settle,
    stop_on_signals,
    watchdog_interval_s,
)
from devicevault.errors import ExitCode, ServiceUnavailable
from devicevault.names import JOURNAL_FIELDS
from devicevault.settings import Settings


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_ready_and_status_come_in_one_datagram(systemd: socket.socket) -> None:
    notify_ready("consuming – 3 queues")
    assert systemd.recv(4096).decode() == "READY=1\nSTATUS=consuming – 3 queues"


def test_a_status_is_one_line_without_passwords(systemd: socket.socket) -> None:
    notify_status("waiting for\nredis://:geheim@localhost/1")
    told = systemd.recv(4096).decode()
    assert told.startswith("STATUS=waiting for redis://")
    assert "geheim" not in told
    assert "\n" not in told


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"devicevault-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify_status("here")
        assert listener.recv(100) == b"STATUS=here"


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_ready("ready")
    assert not caplog.records


def test_the_watchdog_is_fed_while_there_is_progress_and_starves_without(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    progress = Progress()
    with Watchdog.of(progress):
        for _ in range(6):
            progress.made()
            assert systemd.recv(100) == b"WATCHDOG=1"
        systemd.settimeout(1)
        pings = 0
        with contextlib.suppress(TimeoutError):
            while True:
                systemd.recv(100)
                pings += 1
    assert pings <= 3, "pinged for longer than one interval after the last progress"


def test_a_watchdog_meant_for_another_process_is_not_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_interval_s() == 0.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_interval_s() == 1.0


def test_the_garbage_collector_looks_at_nothing_again_that_is_there_for_good() -> None:
    there = len(gc.get_objects())
    settle()
    try:
        assert gc.get_freeze_count() > there / 2
        assert len(gc.get_objects(generation=2)) < there / 100
    finally:
        gc.unfreeze()


def test_sigterm_sets_the_stop_event_and_a_second_one_ends_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stopping = stop_on_signals()
        assert not stopping.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stopping.is_set()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_a_daemon_with_wrong_settings_ends_with_78_and_a_line_for_each_fault(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('broker_ulr = "redis://localhost/0"\n[worker]\nconcurrency = "many"\n')
    ended = subprocess.run(
        [Path(sys.executable).with_name("devicevault-flower")],
        env={**os.environ, "DEVICEVAULT_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == ExitCode.CONFIGURATION
    assert "broker_ulr" in ended.stderr
    assert "worker.concurrency" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_daemons_error_is_told_to_systemd_too(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("")
    monkeypatch.setenv("DEVICEVAULT_CONFIG", str(tmp_path / "config.toml"))
    handlers = logging.getLogger().handlers[:]

    def body(settings: Settings) -> None:
        raise ServiceUnavailable("Redis is away", "start it")

    try:
        with pytest.raises(SystemExit) as ended:
            run_daemon("test", body)
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.captureWarnings(False)
    assert ended.value.code == ExitCode.UNAVAILABLE
    assert systemd.recv(100) == b"STATUS=Redis is away; start it"


def journal_fields(datagram: bytes) -> dict[str, str]:
    """The single-line fields of a datagram in journald's native protocol."""
    return dict(line.split("=", 1) for line in datagram.decode().splitlines() if "=" in line)


def test_the_journal_gets_fields_to_search_by_and_no_password(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "journal"))
        journald.settimeout(5)
        handler = JournalHandler("devicevault-worker", JournaldTransport(tmp_path / "journal"))
        record = logging.LogRecord(
            "x", logging.WARNING, "/a.py", 7, "%s is away", ("redis://u:geheim@host/1",), None, "f"
        )
        about = dict.fromkeys(JOURNAL_FIELDS, "told") | {"device": "core-sw1", "duration_ms": "812"}
        record.__dict__.update(about, secret="geheim")
        handler.emit(record)
        datagram = journald.recv(65536)
    assert b"geheim" not in datagram
    fields = journal_fields(datagram)
    assert {name: fields[field] for name, field in JOURNAL_FIELDS.items()} == about
    assert fields["PRIORITY"] == "4"
    assert fields["SYSLOG_IDENTIFIER"] == "devicevault-worker"
    assert fields["MESSAGE"].endswith("is away")


def test_half_a_surrogate_pair_is_no_reason_to_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "journal"))
        journald.settimeout(5)
        handler = JournalHandler("devicevault-consumer", JournaldTransport(tmp_path / "journal"))
        record = logging.LogRecord("x", logging.ERROR, "/a.py", 7, "half of %s", ("\ud800",), None, "f")
        record.device = "core\udfff"
        handler.emit(record)
        fields = journal_fields(journald.recv(65536))
    assert (fields["MESSAGE"], fields["DEVICE"]) == ("half of ?", "core?")


def test_a_line_names_the_device_once_and_hides_passwords_in_tracebacks() -> None:
    try:
        raise ValueError("amqp://guest:geheim@host//")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "a.py", 1, "failed", (), sys.exc_info(), "f")
    record.device = "core-sw1"
    line = LineFormatter().format(record)
    assert "geheim" not in line
    assert "[core-sw1]" in line
    named = logging.LogRecord("x", logging.INFO, "a.py", 1, "core-sw1: success", (), None)
    named.device = "core-sw1"
    assert LineFormatter().format(named).count("core-sw1") == 1


@pytest.mark.parametrize(("level", "priority"), [(10, 7), (20, 6), (25, 6), (30, 4), (40, 3), (50, 2)])
def test_levels_become_syslog_priorities(level: int, priority: int) -> None:
    assert priority_of(level) == priority
