"""The vault's key is changed while it holds originals, as an operator does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.collector.seal import Opener, Sealer
from devicevault.known_keys import KnownKeys
from devicevault.settings import Settings
from devicevault.store import Store, open_store, write_results
from tests.results import artifact, request, result

Run = Callable[..., Result]


@pytest.fixture
def run(environ: dict[str, str], settings: Settings) -> Run:
    def run_command(*arguments: str) -> Result:
        variables: dict[str, str | None] = {**environ, "DEVICEVAULT_CONFIG": None}
        return CliRunner().invoke(main, arguments, env=variables, catch_exceptions=False)

    return run_command


def collect(settings: Settings, *devices: str, size: int = 1000, shrunk: bool = False) -> None:
    sealer = Sealer.from_settings(settings)
    with open_store(settings.database_url, migrate=True) as store:
        for device in devices:
            sealed, key_id = sealer.seal(f"secret of {device}\n".encode())
            text = "a\n" * (size // 10 if shrunk else size)
            sent = artifact(text, original=sealed, key_id=key_id)
            write_results(store, [result(request(device, minutes=1 if shrunk else 0), "success", sent)])


def counts(run: Run) -> dict[str, tuple[int, bool]]:
    shown = json.loads(run("keys", "show", "--originals", "--json").stdout)["originals"]
    return {one["key_id"]: (one["count"], one["opened_here"]) for one in shown}


def open_all(store: Store, opener: Opener) -> set[bytes]:
    from sqlalchemy import select

    from devicevault.store.models import HeldArtifact, SealedOriginal

    with store.reading() as session:
        rows = [
            row
            for table in (SealedOriginal, HeldArtifact)
            for row in session.execute(select(table.sealed, table.key_id))
        ]
    return {opener.open(sealed, key_id) for sealed, key_id in rows}


def test_what_is_stored_is_sealed_anew_and_the_old_key_destroyed(run: Run, settings: Settings) -> None:
    old = Sealer.from_settings(settings).key_id
    collect(settings, *(f"sw{number}" for number in range(250)))
    collect(settings, "sw0", shrunk=True)  # held as suspect
    assert run("keys", "rotate").exit_code == 0
    new = Sealer.from_settings(settings).key_id
    assert counts(run) == {old: (251, True)}
    refused = run("keys", "forget", old)
    assert (refused.exit_code, "251 originals" in refused.stderr) == (2, True)
    done = json.loads(run("keys", "reseal", "--json").stdout)
    assert done == {"key_id": new, "resealed": 251, "not_opened": 0}
    assert run("keys", "forget", old).exit_code == 0
    assert counts(run) == {new: (251, True)}
    with open_store(settings.database_url) as store:
        assert open_all(store, Opener.from_settings(settings)) == {f"secret of sw{n}\n".encode() for n in range(250)}
    assert json.loads(run("keys", "reseal", "--json").stdout)["resealed"] == 0


def test_another_holder_gets_what_is_stored_too(run: Run, settings: Settings, tmp_path: Path) -> None:
    collect(settings, "sw1")
    safe = tmp_path / "safe.key"
    assert run("keys", "pair", str(safe)).exit_code == 0
    assert run("keys", "add", str(tmp_path / "safe.pub")).exit_code == 0
    assert "another recipient's" in run("keys", "show").stdout
    run("keys", "reseal")
    with open_store(settings.database_url) as store:
        assert open_all(store, Opener(safe)) == {b"secret of sw1\n"}
    added = Sealer.from_settings(settings).key_id.split("+")[1]
    assert run("keys", "remove", added).exit_code == 0
    run("keys", "reseal")
    assert list(counts(run)) == [Sealer.from_settings(settings).key_id]


def test_originals_of_a_lost_key_are_told_and_left_as_they_are(run: Run, settings: Settings) -> None:
    collect(settings, "sw1")
    lost = Sealer.from_settings(settings).key_id
    digest = settings.vault.digest_key.read_text()
    assert run("keys", "rotate", "--lost").exit_code == 2, "it is not lost"
    settings.vault.private_key.unlink()
    assert run("keys", "rotate").exit_code == 78
    assert "devicevault collect --all" in run("keys", "rotate", "--lost").stdout
    assert settings.vault.digest_key.read_text() == digest
    assert lost not in KnownKeys(settings.vault.public_key), "nothing more is taken that nobody can open"
    collect(settings, "sw2")
    assert counts(run)[lost] == (1, False)
    done = run("keys", "reseal")
    assert (done.exit_code, "1 originals stay as they are" in done.stderr) == (1, True)
    assert counts(run)[lost] == (1, False)


def test_reseal_without_the_key_is_told_at_once(run: Run, settings: Settings) -> None:
    collect(settings, "sw1")
    settings.vault.private_key.unlink()
    found = run("keys", "reseal")
    assert (found.exit_code, "vault.key" in found.stderr) == (78, True)
