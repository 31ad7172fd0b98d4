"""``devicevault keys rotate`` and the like: who can open originals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import console, errors, print_json, say
from devicevault.errors import DeviceVaultError, UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.collector.seal import Opener, Sealer
    from devicevault.store import Store
    from devicevault.store.originals import Kept

#: What hosts elsewhere need after the public keys changed.
COPY: Final = (
    "Workers on this host use it at once. Copy {path} to each other worker, and there: "
    "systemctl reload 'devicevault-worker@*'"
)


@click.command(short_help="Give the vault a new key.")
@click.option("--lost", is_flag=True, help="vault.key is lost: what it sealed stays closed.")
@pass_settings
def rotate(settings: Settings, lost: bool) -> None:
    """Give the vault a new key; the old one seals no more, and still opens what was sealed with it.

    What is stored is sealed anew by `devicevault keys reseal`.
    """
    from devicevault import key_rotation

    made = key_rotation.replace_lost(settings.vault) if lost else key_rotation.rotate(settings.vault)
    console().print(f"from now on originals are sealed with key {made}")
    say(console(), COPY.format(path=settings.vault.public_key))
    if lost:
        say(console(), "What was sealed before stays closed: devicevault keys show --originals tells how much that is.")
    then = "devicevault collect --all" if lost else "devicevault keys reseal"
    say(console(), f"Then: {then}. Keep a new copy of {settings.vault.private_key} in a safe.")


@click.command(short_help="Seal what is stored with the keys of now.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def reseal(settings: Settings, as_json: bool) -> None:
    """Seal every stored original anew that is sealed with other keys than those of now.

    It runs where vault.key is, as root, while the vault works on. Interrupted, it goes on from there the next time.
    """
    from devicevault.cli.opening import tell_opening
    from devicevault.collector.seal import Opener, Sealer
    from devicevault.store import open_store

    sealer, opener = Sealer.from_settings(settings), Opener.from_settings(settings)
    opener.can_open(sealer.key_id)  # tells at once where vault.key is missing
    tell_opening("every original that is sealed with an old key, to seal it anew")
    with open_store(settings.database_url) as store:
        done, left = _resealed(store, opener, sealer)
    if as_json:
        print_json({"key_id": sealer.key_id, "resealed": done, "not_opened": left})
    else:
        console().print(f"{done} originals were sealed anew with {sealer.key_id}")
        if left:
            say(errors(), f"{left} originals stay as they are: no key for them is here, or they are damaged")
    if left:
        click.get_current_context().exit(1)


def _resealed(store: Store, opener: Opener, sealer: Sealer) -> tuple[int, int]:
    """How many originals were sealed anew, and how many could not be opened."""
    from devicevault.store.originals import replace, sealed_otherwise

    done = left = 0
    for some in sealed_otherwise(store, sealer.key_id):
        anew: list[tuple[Kept, bytes, str]] = []
        for kept in some:
            try:
                anew.append((kept, *sealer.seal(opener.open(kept.sealed, kept.key_id))))
            except DeviceVaultError:
                left += 1
        with store.session() as session:
            done += sum(replace(session, *one) for one in anew)
    return done, left


@click.command(short_help="Let another key open what is sealed from now on.")
@click.argument("public_key", metavar="FILE", type=click.Path(path_type=Path))
@pass_settings
def add(settings: Settings, public_key: Path) -> None:
    """Let the holder of another key open what is sealed from now on; FILE is its public half.

    `devicevault keys reseal` lets him open what is stored as well.
    """
    from devicevault import key_rotation

    console().print(f"originals are sealed for key {key_rotation.add_recipient(settings.vault, public_key)} as well")
    say(console(), COPY.format(path=settings.vault.public_key))


@click.command(short_help="Seal no more for another key.")
@click.argument("key_id", metavar="KEY")
@pass_settings
def remove(settings: Settings, key_id: str) -> None:
    """Seal no more for a key that was added; what was sealed for it, its holder can still open.

    `devicevault keys reseal` takes him out of what is stored, though not out of copies of it.
    """
    from devicevault import key_rotation

    key_rotation.remove_recipient(settings.vault, key_id)
    console().print(f"originals are sealed for key {key_id} no more")
    say(console(), COPY.format(path=settings.vault.public_key))


@click.command(short_help="Destroy a retired key.")
@click.argument("key_id", metavar="KEY")
@pass_settings
def forget(settings: Settings, key_id: str) -> None:
    """Destroy a key that was rotated away: whatever is sealed with it alone can never be opened again.

    Refused while the database holds an original of it; exports and backups are yours to think of.
    """
    from devicevault import key_rotation
    from devicevault.store import open_store
    from devicevault.store.originals import counts_by_key
    from devicevault.vault_keys import ids_in

    with open_store(settings.database_url) as store, store.reading() as session:
        needed = sum(count for sealed_with, count in counts_by_key(session).items() if key_id in ids_in(sealed_with))
    if needed:
        raise UsageError(f"{needed} originals are sealed with key {key_id}", "first: devicevault keys reseal")
    key_rotation.forget(settings.vault, key_id)
    console().print(f"key {key_id} is gone")


@click.command(
    short_help="Make a key for another holder.", epilog=examples("devicevault keys pair /media/safe/escrow.key")
)
@click.argument("private_key", metavar="FILE", type=click.Path(path_type=Path))
def pair(private_key: Path) -> None:
    """Make a key for another holder: FILE is the private one, its public half goes beside it, as .pub.

    Best made on another host. The vault is given the public half: devicevault keys add.
    """
    from devicevault import key_rotation

    public_key, made = key_rotation.create_pair(private_key)
    console().print(f"made key {made}")
    say(console(), f"Keep {private_key} where no vault is. On the vault's host: devicevault keys add {public_key.name}")


CHANGES = (rotate, reseal, add, remove, forget, pair)
