"""The ``devicevault`` command.

Each command lives in a module of its own that is imported only when it is typed: netmiko, Celery and
SQLAlchemy together take longer to import than ``devicevault config show`` takes to answer.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, NoReturn, ParamSpec, TypeVar

import click

from devicevault import __version__
from devicevault.errors import DeviceVaultError, ExitCode

if TYPE_CHECKING:
    from devicevault.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

#: What a shell reports of a program that was interrupted, or whose reader went away.
INTERRUPTED: Final = 128 + 2
READER_GONE: Final = 128 + 13


class LazyCommand(NamedTuple):
    target: str
    help: str


COMMANDS: Final[Mapping[str, LazyCommand]] = {
    "collect": LazyCommand("devicevault.cli.collect:collect", "Back devices up now."),
    "status": LazyCommand("devicevault.cli.status:status", "How each device's last collection ended."),
    "runs": LazyCommand("devicevault.cli.runs:runs", "What was asked for lately, and how far it is."),
    "schedule": LazyCommand("devicevault.cli.schedule:schedule", "Which groups are collected by the clock, and when."),
    "cancel": LazyCommand("devicevault.cli.runs:cancel", "Give up what still waits of a run."),
    "pause": LazyCommand("devicevault.cli.pause:pause", "Let a collector group's workers start nothing."),
    "resume": LazyCommand("devicevault.cli.pause:resume", "Let a paused group's workers go on."),
    "history": LazyCommand("devicevault.cli.history:history", "A device's collections and revisions."),
    "show": LazyCommand("devicevault.cli.show:show", "A device's configuration, now or earlier."),
    "diff": LazyCommand("devicevault.cli.diff:diff", "What changed between two revisions of a device."),
    "search": LazyCommand("devicevault.cli.search:search", "Which lines of all configurations match."),
    "export": LazyCommand("devicevault.cli.export:export", "Write configurations into files, one per device."),
    "open": LazyCommand("devicevault.cli.open:open_file", "Open an exported original, with nothing but the key."),
    "accept": LazyCommand("devicevault.cli.accept:accept", "Take a suspect configuration as the right one."),
    "hostkeys": LazyCommand("devicevault.cli.hostkeys:hostkeys", "The SSH host keys that devices are known by."),
    "deadletter": LazyCommand("devicevault.cli.deadletter:deadletter", "Results that could not be stored."),
    "devices": LazyCommand("devicevault.cli.devices:devices", "List and check the inventory."),
    "platforms": LazyCommand("devicevault.cli.platforms:platforms", "List and show the platforms known."),
    "config": LazyCommand("devicevault.cli.config:config", "Check and show the settings."),
    "keys": LazyCommand("devicevault.cli.keys:keys", "Make and show the vault's keys."),
    "scrub": LazyCommand("devicevault.cli.scrub:scrub", "Take out a secret that slipped through the rules."),
    "prune": LazyCommand("devicevault.cli.prune:prune", "Delete what the settings keep no longer."),
    "git": LazyCommand("devicevault.cli.git:git", "The git mirror of the history."),
    "notify": LazyCommand("devicevault.cli.notify:notify", "Who is told of changes and faults."),
    "join": LazyCommand("devicevault.cli.join:join", "Make another host a worker of this vault."),
    "backup": LazyCommand("devicevault.cli.backup:backup", "Back the vault itself up into one file."),
    "restore": LazyCommand("devicevault.cli.backup:restore", "Put the vault together again from its backup."),
    "db": LazyCommand("devicevault.cli.db:db", "Check and upgrade the database."),
    "doctor": LazyCommand("devicevault.cli.doctor:doctor", "Walk the whole chain and tell what to do about faults."),
    "demo": LazyCommand("devicevault.cli.demo:demo", "See it all work on a simulated fleet, in under a minute."),
}


class Invocation:
    """What the options before the command's name say; the settings are loaded when first asked for."""

    def __init__(self, config_path: Path | None = None) -> None:
        self.config_path = config_path

    @functools.cached_property
    def settings(self) -> Settings:
        from devicevault.settings import load_settings

        return load_settings(self.config_path)


class RootGroup(click.Group):
    """A group whose commands are imported when they are run, and whose errors end in words, not tracebacks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, lazy in COMMANDS.items():
            self.add_command(click.Command(name, short_help=lazy.help))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        _open_what_is_closed()
        return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_in_utf_8(argument) for argument in args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = load_command(name)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except DeviceVaultError as error:
            from devicevault.cli.console import report

            report(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(READER_GONE)
        except OSError as error:
            # A full disk under the answer, or under a file of ours: neither a failed device nor a fault of ours.
            _forget_stdout()
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {place}{error.strerror or error}; mend that and try again", err=True)
            ctx.exit(ExitCode.UNAVAILABLE)
        return result


def _in_utf_8(argument: str) -> str:
    """The argument as typed: bytes that the locale does not know are taken for UTF-8, as the inventory's are."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"{argument!r} is not UTF-8 text") from None


def load_command(name: str) -> click.Command:
    """The command of this name, imported now."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{COMMANDS[name].target} is no command")
    return command


def _open_what_is_closed() -> None:
    """Give what a caller closed, as by ``>&-``, to nobody: the database would get that number, and be written to."""
    # In this order, each gets its own number again: the lowest that is free.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _forget_stdout() -> None:
    # Python flushes stdout once more at exit and would complain about the closed pipe.
    try:
        descriptor = sys.stdout.fileno()
    except OSError:
        return
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)


def current_settings() -> Settings:
    """The settings of the command that runs now. Raises :class:`devicevault.errors.ConfigurationError`."""
    return _invocation().settings


def current_config_path() -> Path | None:
    """The file given with ``--config``, if any."""
    return _invocation().config_path


def pass_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Decorator: the command's first argument is the settings, loaded when the command runs."""

    @functools.wraps(command)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(current_settings(), *args, **kwargs)

    return with_settings


def examples(*lines: str) -> str:
    """A command's epilog: lines an operator can type as they are."""
    # Click leaves the lines of a paragraph alone that begins with a backspace.
    return "\b\n" + "\n".join(("Examples:", *(f"  {line}" for line in lines)))


def finish(*, failed: bool) -> NoReturn:
    """End the command, with the exit code for "some devices failed" if so."""
    click.get_current_context().exit(ExitCode.DEVICES_FAILED if failed else ExitCode.DONE)


def _invocation() -> Invocation:
    return click.get_current_context().ensure_object(Invocation)


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, readable=False),  # what is wrong with it is told as of any settings file
    metavar="FILE",
    help="Settings file; $DEVICEVAULT_CONFIG or /etc/devicevault/config.toml otherwise.",
)
@click.version_option(__version__, prog_name="devicevault")
@click.pass_context
def main(ctx: click.Context, config_path: Path | None) -> None:
    """Keep the configuration of every network device safe."""
    ctx.obj = Invocation(config_path)
