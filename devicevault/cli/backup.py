"""``devicevault backup FILE`` and ``devicevault restore FILE``: the vault's own backup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devicevault.cli import current_config_path, examples, pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, errors, print_json, say
from devicevault.errors import UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.vaultcopy.archive import Manifest

PASSPHRASE_FILE = click.option(
    "--passphrase-file", type=click.Path(path_type=Path), metavar="FILE", help="Its first line is the passphrase."
)


@click.command(
    epilog=examples(
        "devicevault backup /mnt/nas/vault.backup",
        "devicevault backup --with-keys /mnt/nas/vault.backup     asks for a passphrase",
        "devicevault backup --with-keys --passphrase-file /root/passphrase /mnt/nas/vault.backup",
    )
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--with-keys", is_flag=True, help="The vault's keys and credentials.toml as well, encrypted.")
@PASSPHRASE_FILE
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def backup(settings: Settings, file: Path, with_keys: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Back the vault itself up into FILE, while it runs: database, settings, inventory, platform pages.

    Without --with-keys it restores everything but the originals, which need vault.key: keep that in a safe.
    """
    from devicevault.settings.load import config_path
    from devicevault.vaultcopy.backup import back_up

    if passphrase_file and not with_keys:
        raise UsageError("--passphrase-file is about the keys", "add --with-keys")
    passphrase = _passphrase(passphrase_file, twice=True) if with_keys else ""
    made = back_up(settings, config_path(current_config_path()), file.absolute(), passphrase)
    if as_json:
        print_json({"file": file, "bytes": file.stat().st_size, **made.model_dump(mode="json")})
        return
    say(console(), f"{file}: {_what_is_in(made)}, {_size(file.stat().st_size)}")
    if not with_keys and settings.vault.originals == "sealed":
        say(errors(), f"It has no keys: originals can be opened only with your copy of {settings.vault.private_key}.")


@click.command(
    epilog=examples("devicevault restore /mnt/nas/vault.backup", "devicevault restore --info /mnt/nas/vault.backup")
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--without-keys", is_flag=True, help="Leave keys and credentials where they are in it.")
@click.option("--without-settings", is_flag=True, help="This host's own settings stand.")
@PASSPHRASE_FILE
@click.option("--info", is_flag=True, help="Restore nothing: tell what is in it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def restore(
    file: Path, without_keys: bool, without_settings: bool, passphrase_file: Path | None, info: bool, as_json: bool
) -> None:
    """Put the vault together again from a backup, on a host where DeviceVault is installed and stopped.

    A database with devices in it is refused; a file that is there already is kept under another name.
    """
    from devicevault.settings.load import config_path
    from devicevault.vaultcopy.archive import Archive
    from devicevault.vaultcopy.restore import restore

    with Archive(file) as archive:
        manifest = archive.manifest
    if info:
        print_json(manifest)
        return
    wants_keys = manifest.has_secrets and not without_keys
    passphrase = _passphrase(passphrase_file, twice=False) if wants_keys else ""
    config = config_path(current_config_path())
    done = restore(file, config, passphrase, with_settings=not without_settings)
    if as_json:
        print_json({"database": done.database, "written": done.written, "kept": done.kept, **manifest.model_dump()})
        return
    out = console()
    say(out, f"{done.database}: {_what_is_in(manifest)}, as of {local_time(manifest.created_at)}")
    for path in done.written:
        say(out, f"written: {path}")
    for path in done.kept:
        say(out, f"what was there is kept in {path}")
    if not wants_keys:
        say(errors(), "No keys were restored: put your copy of vault.key and its companions in their places.")
    say(out, f"Next: systemctl enable --now devicevault-consumer {_of_groups(done.groups)}")
    say(out, "      devicevault doctor")


def _what_is_in(manifest: Manifest) -> str:
    counts = ((manifest.devices, "device"), (manifest.revisions, "revision"))
    return " in ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts)


def _of_groups(groups: Sequence[str]) -> str:
    """The worker and the clock of each group, as a shell takes them."""
    names = groups[0] if len(groups) == 1 else f"{{{','.join(groups)}}}" if groups else "GROUP"
    return f"devicevault-worker@{names} devicevault-collect@{names}.timer"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _passphrase(path: Path | None, *, twice: bool) -> str:
    from devicevault.cli.secret import ask_secret, secret_in

    return secret_in(path, "the passphrase") if path else ask_secret("Passphrase", twice=twice)
