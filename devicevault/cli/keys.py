"""``devicevault keys``: the keys that seal originals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devicevault.cli import pass_settings
from devicevault.cli.console import console, print_json, print_table, say, table
from devicevault.cli.key_changes import CHANGES
from devicevault.errors import ConfigurationError
from devicevault.settings import Settings
from devicevault.vault_keys import (
    DIGEST,
    PRIVATE,
    PUBLIC,
    KeyKind,
    can_seal,
    create_keys,
    key_id,
    read_keys,
    read_retired,
)

if TYPE_CHECKING:
    from devicevault.collector.seal import Opener


@click.group()
def keys() -> None:
    """Make and show the vault's keys, and change who can open originals.

    Originals are sealed with vault.pub by the workers, and can be opened only where vault.key is.
    """


for command in CHANGES:
    keys.add_command(command)


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


@keys.command(short_help="Show which keys are on this host, and what they open.")
@click.option("--originals", "with_originals", is_flag=True, help="Also how many stored originals each key opens.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def show(settings: Settings, with_originals: bool, as_json: bool) -> None:
    """Show which keys are on this host; the keys themselves are never printed."""
    rows = [row for path, kind in _files(settings) for row in _described(path, kind)]
    counts = _originals(settings) if with_originals else []
    if as_json:
        print_json({"keys": rows, "originals": counts} if with_originals else rows)
        return
    grid = table("File", "State", "Key", "Purpose")
    for row in rows:
        grid.add_row(row["file"], row["state"], row["key_id"], row["purpose"])
    print_table(grid)
    if with_originals:
        console().print()
        grid = table("Originals", "Sealed with", "Opened here")
        for one in counts:
            grid.add_row(str(one["count"]), str(one["key_id"]), "yes" if one["opened_here"] else "no")
        print_table(grid)


def _originals(settings: Settings) -> list[dict[str, str | int | bool]]:
    from devicevault.collector.seal import Opener
    from devicevault.store import open_store
    from devicevault.store.originals import counts_by_key

    with open_store(settings.database_url) as store, store.reading() as session:
        counts = counts_by_key(session)
    opener = Opener.from_settings(settings)
    return [
        {"count": count, "key_id": sealed_with, "opened_here": _can_open(opener, sealed_with)}
        for sealed_with, count in sorted(counts.items())
    ]


def _can_open(opener: Opener, sealed_with: str) -> bool:
    try:
        return opener.can_open(sealed_with)
    except ConfigurationError:  # no usable vault.key, as the table above tells
        return False


def _files(settings: Settings) -> tuple[tuple[Path, KeyKind], ...]:
    vault = settings.vault
    return (vault.private_key, PRIVATE), (vault.public_key, PUBLIC), (vault.digest_key, DIGEST)


def _described(path: Path, kind: KeyKind) -> list[dict[str, str]]:
    """A row for each key in the file, or one that says what is wrong with it."""
    row = {"file": str(path), "state": "ok", "key_id": "", "purpose": kind.purpose}
    try:
        own, *others = [_id(key, kind) for key in read_keys(path, kind)]
        retired = [key_id(key) for key in read_retired(path)] if kind is PUBLIC else []
    except ConfigurationError as error:
        return [{**row, "state": error.faults[0].problem}]
    others_purpose = "opens what was sealed before a rotation" if kind is PRIVATE else "another recipient's"
    return [
        {**row, "key_id": own},
        *({**row, "key_id": other, "purpose": others_purpose} for other in others),
        *({**row, "key_id": old, "state": "retired", "purpose": "seals no more"} for old in retired),
    ]


def _id(key: bytes, kind: KeyKind) -> str:
    if kind is DIGEST:
        return ""
    if kind is PUBLIC:
        return key_id(key)
    from devicevault.key_rotation import id_of

    return id_of(key)
