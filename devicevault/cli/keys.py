"""``devicevault keys``: the keys that seal originals."""

from __future__ import annotations

from pathlib import Path

import click

from devicevault.cli import pass_settings
from devicevault.cli.console import console, print_json, print_table, say, table
from devicevault.errors import ConfigurationError
from devicevault.settings import Settings
from devicevault.vault_keys import DIGEST, PRIVATE, PUBLIC, KeyKind, can_seal, create_keys, key_id, read_key


@click.group()
def keys() -> None:
    """Make and show the vault's keys.

    Originals are sealed with vault.pub by the workers, and can be opened only where vault.key is.
    """


@keys.command(short_help="Make the three keys, once.")
@click.option("--if-missing", is_flag=True, help="Do nothing where the keys are here already, or none is needed.")
@pass_settings
def create(settings: Settings, if_missing: bool) -> None:
    """Make vault.key, vault.pub and vault.digest, once, on the vault's host. Existing keys are never overwritten."""
    vault = settings.vault
    if if_missing and can_seal(vault):
        return
    made = create_keys(vault)
    console().print(f"made key {made}")
    grid = table("File", "Purpose")
    for path, kind in _files(settings):
        grid.add_row(str(path), kind.purpose)
    print_table(grid)
    say(
        console(),
        f"Copy {vault.public_key} and {vault.digest_key} to each worker. Keep a copy of {vault.private_key} in a safe: "
        "without it no original can be opened again.",
    )


@keys.command(short_help="Show which keys are on this host.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def show(settings: Settings, as_json: bool) -> None:
    """Show which keys are on this host; the keys themselves are never printed."""
    rows = [_described(path, kind) for path, kind in _files(settings)]
    if as_json:
        print_json(rows)
    else:
        grid = table("File", "State", "Key", "Purpose")
        for row in rows:
            grid.add_row(row["file"], row["state"], row["key_id"], row["purpose"])
        print_table(grid)


def _files(settings: Settings) -> tuple[tuple[Path, KeyKind], ...]:
    vault = settings.vault
    return (vault.private_key, PRIVATE), (vault.public_key, PUBLIC), (vault.digest_key, DIGEST)


def _described(path: Path, kind: KeyKind) -> dict[str, str]:
    row = {"file": str(path), "state": "ok", "key_id": "", "purpose": kind.purpose}
    try:
        key = read_key(path, kind)
    except ConfigurationError as error:
        row["state"] = error.faults[0].problem
        return row
    if kind is PUBLIC:
        row["key_id"] = key_id(key)
    elif kind is PRIVATE:
        from nacl.public import PrivateKey

        row["key_id"] = key_id(bytes(PrivateKey(key).public_key))
    return row
