"""``devicevault open FILE``: an exported original, with nothing but the key that opens it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from devicevault.cli import current_settings, examples
from devicevault.cli.console import print_json
from devicevault.cli.show import write_bytes
from devicevault.errors import UsageError


@click.command(
    "open",
    epilog=examples(
        "devicevault open core-sw1.cfg.sealed",
        "devicevault open --key /media/safe/vault.key core-sw1.cfg.sealed -o core-sw1.cfg",
        "devicevault open --info core-sw1.cfg.sealed     whose it is, and which key opens it",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key", "key_path", type=click.Path(path_type=Path), metavar="FILE", help="The private key; vault.key otherwise."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, for you alone.")
@click.option("--info", is_flag=True, help="Open nothing: tell whose original it is.")
def open_file(file: Path, key_path: Path | None, output: Path | None, info: bool) -> None:
    """Open an original that `devicevault export --originals` wrote: secrets and all, byte for byte.

    It needs no database and no service, and where --key is given no settings either. The opening is recorded in the
    journal of this host.
    """
    from devicevault.cli.opening import opened
    from devicevault.collector.seal import Opener
    from devicevault.outputs.filenames import is_text
    from devicevault.sealed_file import unpacked

    about, sealed = unpacked(_content(file), str(file))
    if info:
        print_json(about)
        return
    if output is None and sys.stdout.isatty() and not is_text(about.media_type):
        raise UsageError(f"{file} holds a file of type {about.media_type}, nothing for a terminal", "add -o FILE")
    opener = Opener(key_path or current_settings().vault.private_key)
    what = f"{file}: {about.artifact} revision {about.revision} of {about.device}"
    original = opened(opener, sealed, about.key_id, device=about.device, what=what)
    write_bytes(original, output)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
