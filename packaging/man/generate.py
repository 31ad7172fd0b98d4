"""Write what the package tells about its own commands and settings: man pages and shell completions.

``generate.py FOLDER`` writes ``devicevault.1``, ``devicevault-config.5`` and ``devicevault.{bash,zsh,fish}``, all from
the commands and settings themselves: there is nothing here that could fall behind them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from devicevault import __version__
from devicevault.cli import COMMANDS, load_command, main
from devicevault.settings import GroupSettings, JumpSettings, ReceiverSettings, Settings, document
from devicevault.settings.sources import keys_of, variable_of
from devicevault.tomlfile import dotted

SHELLS: Final = ("bash", "zsh", "fish")
COMPLETE_VARIABLE: Final = "_DEVICEVAULT_COMPLETE"
#: In front of a paragraph it tells click to leave its lines alone.
KEEP_LINES: Final = "\b\n"

COMMAND_END: Final = r"""
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Some devices failed.
.TP
.B 2
The command line asks for something that does not exist or does not fit together.
.TP
.B 3
With \fBcollect \-\-scheduled\fR: no device at all was backed up.
.TP
.B 75
A service is unreachable; trying again later may help.
.TP
.B 78
Settings, inventory, credentials or keys are wrong; nothing was done.
.SH ENVIRONMENT
.TP
.B DEVICEVAULT_CONFIG
The settings file; /etc/devicevault/config.toml otherwise.
.TP
.BI DEVICEVAULT_ KEY
Sets one setting, see
.BR devicevault\-config (5).
.TP
.B NO_COLOR
When set, output is never coloured.
.SH FILES
.TP
.I /etc/devicevault/config.toml
Settings, see
.BR devicevault\-config (5).
.TP
.I /etc/devicevault/devices.toml
The inventory, see
.BR devicevault\-devices (5).
.TP
.I /etc/devicevault/credentials.toml
What opens the devices; read by workers only.
.TP
.I /etc/devicevault/platforms/
Platform pages of your own.
.TP
.I /etc/devicevault/vault.key
Opens sealed originals. Keep a copy in a safe.
.SH SEE ALSO
.BR devicevault\-config (5),
.BR devicevault\-devices (5),
.BR devicevault\-worker@.service (8),
.I /usr/share/doc/devicevault/
"""

CONFIG_START: Final = r"""
.SH NAME
devicevault\-config \- settings of DeviceVault
.SH SYNOPSIS
.I /etc/devicevault/config.toml
.br
.I /etc/devicevault/config.d/*.toml
.br
.BI DEVICEVAULT_ KEY
.SH DESCRIPTION
The settings file is written in TOML, and everything in it has a default. Files in config.d are merged over it, in the
order of their names, and environment variables go over both; the daemons take theirs from
.IR /etc/default/devicevault .
A key that does not exist is an error.
.PP
After a change,
.B devicevault config check
tells whether everything is right, and
.B devicevault config show
what counts and where it was set. A running daemon goes on with what it has read;
.B systemctl reload 'devicevault\-*.service'
lets those that run read it again, and the journal names what needs a restart.
"""

CONFIG_END: Final = r"""
.SH EXAMPLE
.EX
broker_url = "amqp://vault:secret@broker.example.net//"

[ssh]
deadline_s = 90

[groups.branch]
ssh.algorithms = "legacy"
.EE
.SH SEE ALSO
.BR devicevault (1),
.BR devicevault\-devices (5),
.BR devicevault\-worker@.service (8)
"""


def roff(text: str) -> str:
    """Plain text, with words in backquotes in bold, for the body of a page."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    emphatic = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", escaped)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in emphatic.splitlines())


def bold(text: str) -> str:
    """Plain text in bold; a macro such as ``.B`` would eat its double quotes."""
    return f"\\fB{roff(text)}\\fR"


def heading(title: str, section: int) -> str:
    return f'.TH {title.upper()} {section} "" "DeviceVault {__version__}" "DeviceVault"'


def command_page() -> str:
    """``devicevault(1)``, with every command and option."""
    root = click.Context(main, info_name="devicevault")
    lines = [
        heading("devicevault", 1),
        ".SH NAME",
        f"devicevault \\- {roff(summary(main).rstrip('.')).lower()}",
        ".SH SYNOPSIS",
        ".B devicevault",
        roff(" ".join(main.collect_usage_pieces(root))),
        ".SH OPTIONS",
        *options(main, root),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        lines += described(load_command(name), root, name)
    return "\n".join(lines) + COMMAND_END


def described(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    """A command with its options, and those below it."""
    context = click.Context(command, info_name=name, parent=parent)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".SS {roff(context.command_path)} {roff(pieces)}"
    paragraphs = (" ".join(paragraph.split()) for paragraph in (command.help or "").replace("\b", "").split("\n\n"))
    yield "\n.PP\n".join(roff(paragraph) for paragraph in paragraphs)
    yield from options(command, context)
    if command.epilog:
        yield f".PP\n.EX\n{roff(command.epilog.strip(KEEP_LINES))}\n.EE"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None:
                yield from described(found, context, below)


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            names, text = record
            yield f".TP\n{bold(names)}\n{roff(' '.join(text.split()))}"


def summary(command: click.Command) -> str:
    return (command.help or "").strip().partition("\n")[0]


def config_page() -> str:
    """``devicevault-config(5)``, with every setting."""
    lines = [heading("devicevault-config", 5) + CONFIG_START + ".SH SETTINGS"]
    table = ""
    for key in keys_of(Settings):
        if len(key) > 1 and key[0] != table:
            table = key[0]
            lines.append(f".SS [{roff(table)}]\n{roff(document.first_line(Settings.model_fields[table].annotation))}")
        default = document.toml_value(document.default_of(key))
        lines.append(f".TP\n{bold(f'{key[-1]} = {default}')}\n{roff(document.described_field(key))}")
        lines.append(f".br\nVariable: {roff(variable_of(key))}")
    lines.append(f".SS [groups.{roff('NAME')}]\n{roff(document.first_line(GroupSettings))}")
    lines.append("Each key means what it means above:")
    lines += [f".br\n{bold(dotted(key))}" for key in keys_of(GroupSettings)]
    for kind, settings in (("jumps", JumpSettings), ("receivers", ReceiverSettings)):
        lines.append(f".SS [{kind}.{roff('NAME')}]\n{roff(document.first_line(settings))}")
        for name, field in settings.model_fields.items():
            about = roff(document.described_field((kind, "NAME", name)))
            lines.append(f".TP\n{bold(f'{name} = {document.toml_value(field.default)}')}\n{about}")
    return "\n".join(lines) + CONFIG_END


def completion(shell: str) -> str:
    """The shell's completion of ``devicevault``."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"click completes no {shell}")
    return kind(main, {}, "devicevault", COMPLETE_VARIABLE).source()


def write(folder: Path) -> None:
    """Write every page and completion into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "devicevault.1").write_text(command_page(), encoding="utf-8")
    (folder / "devicevault-config.5").write_text(config_page(), encoding="utf-8")
    for shell in SHELLS:
        (folder / f"devicevault.{shell}").write_text(completion(shell), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write; made if it is not there")
    write(parser.parse_args().folder)
