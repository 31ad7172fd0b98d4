"""status, history, show, diff and db, as an operator types them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.collector.seal import Sealer
from devicevault.messages import CollectFacts, LogLine
from devicevault.settings import load_settings
from devicevault.store import open_run, open_store, queue_requests, schema, write_results
from devicevault.vault_keys import create_keys
from tests.results import artifact, at, request, result

OLD = "hostname core-sw1\nntp server 192.0.2.1\nend\n"
NEW = "hostname core-sw1\nntp server 192.0.2.2\nend\n"
Run = Callable[..., Result]


@pytest.fixture
def environ(tmp_path: Path, sqlite_url: str) -> dict[str, str | None]:
    return {
        "DEVICEVAULT_CONFIG": None,
        "DEVICEVAULT_DATABASE_URL": sqlite_url,
        "DEVICEVAULT_VAULT__PUBLIC_KEY": str(tmp_path / "vault.pub"),
        "DEVICEVAULT_VAULT__PRIVATE_KEY": str(tmp_path / "vault.key"),
        "DEVICEVAULT_VAULT__DIGEST_KEY": str(tmp_path / "vault.digest"),
    }


@pytest.fixture
def run(environ: dict[str, str | None]) -> Run:
    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)

    return run_command


@pytest.fixture
def vault(sqlite_url: str) -> str:
    """core-sw1 backed up, changed, and then unreachable; new-sw queued only."""
    waiting = request("new-sw", minutes=3, group="dmz")
    with open_store(sqlite_url, migrate=True) as store:
        write_results(
            store,
            [
                result(request(), "success", OLD, host_key="ssh-ed25519 AAAA"),
                result(request(minutes=1), "success", NEW),
                result(
                    request(minutes=2),
                    "failure",
                    error="unreachable",
                    error_message="no answer from 192.0.2.9",
                    log=(LogLine(time=at(2), severity="error", message="connecting to [192.0.2.9]"),),
                ),
            ],
        )
        with store.session() as session:
            queue_requests(session, open_run(session, asked_by="ann"), [waiting])
    return sqlite_url


def answer(found: Result) -> Any:
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.usefixtures("vault")
class TestStatus:
    def test_each_device_is_a_line_with_the_reason_of_its_failure(self, run: Run) -> None:
        found = run("status")
        lines = {line.split()[0]: line for line in found.stdout.splitlines() if line.strip()}
        assert "failure" in lines["core-sw1"]
        assert "unreachable: no answer from 192.0.2.9" in lines["core-sw1"]
        assert "queued" in lines["new-sw"]
        assert "never" in lines["new-sw"]
        assert found.stdout.splitlines()[-1] == "2 devices: 1 failure, 1 queued"

    def test_as_json_it_tells_the_last_backup(self, run: Run) -> None:
        core, new = answer(run("status", "--json"))
        assert (core["device"], core["latest"]["status"]) == ("core-sw1", "failure")
        assert core["last_success_at"] == "2026-05-04T06:01:00+00:00"
        assert (new["device"], new["latest"]["status"], new["last_success_at"]) == ("new-sw", "queued", None)

    def test_it_can_be_narrowed(self, run: Run) -> None:
        assert [state["device"] for state in answer(run("status", "--failed", "--json"))] == ["core-sw1"]
        assert [state["device"] for state in answer(run("status", "--group", "dmz", "--json"))] == ["new-sw"]
        assert [state["device"] for state in answer(run("status", "new-sw", "--json"))] == ["new-sw"]

    def test_a_mistyped_device_is_a_usage_error_with_the_nearest(self, run: Run) -> None:
        found = run("status", "core-sw2")
        assert found.exit_code == 2
        assert "did you mean 'core-sw1'" in found.stderr


@pytest.mark.usefixtures("vault")
class TestHistory:
    def test_it_tells_revisions_and_collections(self, run: Run) -> None:
        found = answer(run("history", "core-sw1", "--json"))
        assert [(one["number"], one["reason"], one["added"]) for one in found["revisions"]] == [
            (2, "changed", 1),
            (1, "first", 3),
        ]
        assert [one["status"] for one in found["results"]] == ["failure", "success", "success"]
        assert "log" not in found

    def test_for_people_it_is_two_tables_and_the_log_on_demand(self, run: Run) -> None:
        shown = run("history", "core-sw1", "--log").stdout
        assert "+1 -1" in shown
        assert "2 new" in shown
        assert "error: connecting to [192.0.2.9]" in shown

    def test_on_80_columns_each_revision_and_collection_begins_a_line_of_its_own(
        self, run: Run, environ: dict[str, str | None], vault: str
    ) -> None:
        with open_store(vault) as store:
            with store.session() as session:
                run_id = open_run(session, asked_by="ann")
            facts = CollectFacts(author="a-rather-long-login-name", authored_at="13:37 UTC")
            found = result(
                request(minutes=4, run_id=run_id), "success", OLD, artifact("x\n", name="vdom-root"), facts=facts
            )
            write_results(store, [found])
        command = [sys.executable, "-m", "devicevault", "history", "core-sw1"]
        lines = on_a_terminal(command, environ, PAGER="cat", COLUMNS="80", TZ="UTC", TERM="dumb").splitlines()
        newest = next(line for line in lines if line.startswith("3 "))
        assert newest.split()[:8] == ["3", "running", "2026-05-04", "06:04", "+1", "-1", "changed", run_id[:8]]
        assert all(len(line.rstrip()) <= 80 for line in lines)
        dates = [line for line in lines if "2026-05-04 06:0" in line]
        assert len(dates) == 4 + 4 + 2, "a date is broken nowhere"
        assert newest.split()[8] == "a-rather-long-login-name"[: len(newest.split()[8])], "folded, never cut"

    def test_a_device_without_a_backup_says_so(self, run: Run) -> None:
        assert "never backed up" in run("history", "new-sw").stdout


@pytest.mark.usefixtures("vault")
class TestShow:
    def test_the_text_is_shown_exactly(self, run: Run) -> None:
        assert run("show", "core-sw1").stdout == NEW
        assert run("show", "core-sw1", "--revision", "1").stdout == OLD
        assert answer(run("show", "core-sw1", "--json"))["text"] == NEW

    def test_it_is_shown_as_it_was_at_a_time(self, run: Run) -> None:
        assert run("show", "core-sw1", "--at", at(0.5).isoformat()).stdout == OLD
        assert run("show", "core-sw1", "--at", "2026-05-04").stdout == NEW, "a day is shown as it ended"
        assert "no revision as old as that" in run("show", "core-sw1", "--at", "2026-05-03").stderr
        mistyped = run("show", "core-sw1", "--at", "2206-05-04")
        assert mistyped.exit_code == 2
        assert "'2206-05-04' lies ahead" in mistyped.stderr
        today = datetime.now(UTC).astimezone().date().isoformat()
        assert run("show", "core-sw1", "--at", today).stdout == NEW

    def test_a_revision_that_never_was_is_a_usage_error(self, run: Run) -> None:
        found = run("show", "core-sw1", "--revision", "3")
        assert (found.exit_code, found.stdout) == (2, "")
        assert "no revision 3" in found.stderr


class TestOriginal:
    @pytest.fixture
    def sealed(self, environ: dict[str, str | None], sqlite_url: str) -> bytes:
        original = b"hostname core-sw1\r\nsecret \xff hunter2\r\n"
        settings = load_settings(environ={name: value for name, value in environ.items() if value is not None})
        create_keys(settings.vault)
        sealed, key_id = Sealer.from_settings(settings).seal(original)
        with open_store(sqlite_url, migrate=True) as store:
            kept = artifact("hostname core-sw1\n", original=sealed, key_id=key_id)
            write_results(store, [result(request(), "success", kept)])
        return original

    def test_it_is_opened_byte_for_byte_where_the_key_is(self, run: Run, sealed: bytes) -> None:
        assert run("show", "core-sw1", "--original").stdout_bytes == sealed

    @pytest.mark.usefixtures("sealed")
    def test_without_the_key_the_fault_names_its_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "vault.key").unlink()
        found = run("show", "core-sw1", "--original")
        assert found.exit_code == 78
        assert "vault.key" in found.stderr

    @pytest.mark.usefixtures("sealed")
    def test_bytes_are_not_json(self, run: Run) -> None:
        assert run("show", "core-sw1", "--original", "--json").exit_code == 2


@pytest.mark.usefixtures("vault")
class TestDiff:
    def test_the_last_change_is_what_is_shown(self, run: Run) -> None:
        lines = run("diff", "core-sw1").stdout.splitlines()
        assert lines[0].startswith("--- core-sw1 running revision 1")
        assert lines[1].startswith("+++ core-sw1 running revision 2")
        assert lines[3:] == [" hostname core-sw1", "-ntp server 192.0.2.1", "+ntp server 192.0.2.2", " end"]

    def test_revisions_can_be_named_in_either_order(self, run: Run) -> None:
        assert "+ntp server 192.0.2.1" in run("diff", "core-sw1", "2", "1").stdout
        assert "+ntp server 192.0.2.2" in run("diff", "core-sw1", "1").stdout
        assert "one and the same" in run("diff", "core-sw1", "2").stdout

    def test_as_json_it_tells_both_sides(self, run: Run) -> None:
        found = answer(run("diff", "core-sw1", "--json"))
        assert (found["from"]["number"], found["to"]["number"], found["to"]["reason"]) == (1, 2, "changed")
        assert "-ntp server 192.0.2.1" in found["diff"]

    def test_one_revision_has_nothing_to_be_compared_with(self, run: Run, vault: str) -> None:
        with open_store(vault) as store:
            write_results(store, [result(request("single"), "success", OLD)])
        found = run("diff", "single")
        assert (found.exit_code, "one revision only" in found.stdout) == (0, True)

    def test_side_by_side_it_stands_in_two_columns(self, run: Run) -> None:
        shown = run("diff", "core-sw1", "--side-by-side").stdout.splitlines()
        assert any(
            line.split() == ["2", "ntp", "server", "192.0.2.1", "2", "ntp", "server", "192.0.2.2"] for line in shown
        )

    def test_what_changed_since_a_time_on_any_device(self, run: Run, vault: str) -> None:
        with open_store(vault) as store:
            for minutes, text in ((0, OLD), (5, NEW)):
                write_results(store, [result(request("dmz-sw1", minutes=minutes, group="dmz"), "success", text)])
            write_results(store, [result(request("late", minutes=6, group="dmz"), "success", OLD)])
        since = at(2).isoformat()
        changed = answer(run("diff", "--since", since, "--group", "dmz", "--json"))
        assert [(one["to"]["device"], one["from"] and one["from"]["number"]) for one in changed] == [
            ("dmz-sw1", 1),
            ("late", None),
        ]
        assert "+ntp server 192.0.2.2" in changed[0]["diff"]
        assert "late running revision 1, " in run("diff", "--since", since).stdout
        assert "first backed up since then, 3 lines" in run("diff", "--since", since).stdout
        assert run("diff", "--since", since).stdout == run("diff", "--since", since, "--group", "dmz").stdout
        assert run("diff", "--since", "2026-05-05").stdout == "nothing changed\n"
        assert "+ntp server 192.0.2.2" in run("diff", "core-sw1", "--since", at(0.5).isoformat()).stdout

    def test_other_rules_alone_are_no_change_since_a_time(self, run: Run, vault: str) -> None:
        with open_store(vault) as store:
            for minutes, text in ((0, OLD), (5, NEW)):
                sent = artifact(text, original_digest="k1")
                write_results(store, [result(request("r", minutes=minutes), "success", sent, rules_digest=text)])
        assert run("diff", "r", "--since", at(2).isoformat()).stdout == "nothing changed\n"

    @pytest.mark.parametrize(
        "words", [(), ("--group", "dmz"), ("core-sw1", "1", "--since", "1d"), ("core-sw1", "--since", "last week")]
    )
    def test_what_makes_no_sense_is_a_usage_error(self, run: Run, words: tuple[str, ...]) -> None:
        assert run("diff", *words).exit_code == 2

    def test_a_changed_secret_is_told_though_nothing_shows(self, run: Run, vault: str) -> None:
        with open_store(vault) as store:
            for minutes in (0, 1):
                sent = artifact(OLD, original_digest=f"k{minutes}")
                write_results(store, [result(request("keys", minutes=minutes), "success", sent)])
        assert "a hidden secret was changed" in run("diff", "keys").stdout


class TestDatabase:
    def test_upgrade_makes_it_and_check_finds_it_whole(self, run: Run) -> None:
        missing = run("db", "check")
        assert (missing.exit_code, "devicevault db upgrade" in missing.stderr) == (78, True)
        assert run("db", "upgrade").exit_code == 0
        assert f"answers, schema {schema.newest()}" in run("db", "check").stdout
        assert run("db", "upgrade").stdout == f"the database is at schema {schema.newest()}\n"

    def test_commands_that_only_look_make_no_database(self, run: Run, tmp_path: Path) -> None:
        for arguments in (["history", "x"], ["show", "x"], ["diff", "x"], ["runs", "x"]):
            found = run(*arguments)
            assert found.exit_code == 78
            assert "no database at" in found.stderr
        assert (run("runs").exit_code, "nothing was ever asked for" in run("runs").stdout) == (0, True)
        assert list(tmp_path.iterdir()) == []


SHOW_HOSTILE = [sys.executable, "-m", "devicevault", "show", "hostile"]


@pytest.fixture
def hostile(vault: str) -> str:
    """The text of a device that would rename the window."""
    text = "banner \x1b]0;gotcha\x07\nend\n"
    with open_store(vault) as store:
        write_results(store, [result(request("hostile"), "success", text)])
    return text


def on_a_terminal(command: list[str], environ: dict[str, str | None], **more: str) -> str:
    ours, theirs = pty.openpty()
    variables = {name: value for name, value in environ.items() if value is not None}
    subprocess.run(command, env={**os.environ, **variables, **more}, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            return terminal.read(4000).decode()
        except OSError:  # nothing was written to it
            return ""


def test_on_a_terminal_a_configuration_can_not_move_the_cursor(hostile: str, environ: dict[str, str | None]) -> None:
    assert on_a_terminal(SHOW_HOSTILE, environ, PAGER="cat") == "banner ␛]0;gotcha␇\r\nend\r\n"
    variables = {name: value for name, value in environ.items() if value is not None}
    piped = subprocess.run(SHOW_HOSTILE, env={**os.environ, **variables}, capture_output=True, check=True, timeout=60)
    assert piped.stdout == hostile.encode()


@pytest.mark.usefixtures("hostile")
def test_on_a_terminal_the_answer_goes_through_the_pager(environ: dict[str, str | None]) -> None:
    assert on_a_terminal(SHOW_HOSTILE, environ, PAGER="sed s/banner/paged/").startswith("paged ␛]0;gotcha")
    ours = on_a_terminal(SHOW_HOSTILE, environ, PAGER="cat", DEVICEVAULT_PAGER="sed s/banner/paged/")
    assert ours.startswith("paged ␛]0;gotcha")
    assert on_a_terminal(SHOW_HOSTILE, environ, PAGER="head -c 0") == "", "who leaves the pager early has read enough"
    assert on_a_terminal(SHOW_HOSTILE, environ, PAGER="/no/such/pager").startswith("banner")
    command = [sys.executable, "-m", "devicevault", "diff", "core-sw1"]
    assert "\x1b[32m+ntp server 192.0.2.2" in on_a_terminal(command, environ, PAGER="sed -n p", TERM="xterm")


def test_what_runs_is_compared_with_what_it_starts_with(run: Run, vault: str) -> None:
    def read(minutes: int, running: str, startup: str) -> None:
        with open_store(vault) as store:
            write_results(
                store,
                [result(request(minutes=minutes), "success", running, artifact(startup, name="startup"))],
            )

    assert "no artifact 'startup'" in run("diff", "core-sw1", "--startup").stderr
    read(5, NEW, OLD)
    assert "-ntp server 192.0.2.1\n+ntp server 192.0.2.2\n" in run("diff", "core-sw1", "--startup").stdout
    read(6, NEW, NEW)
    assert run("diff", "core-sw1", "--startup").stdout == "core-sw1 starts with what it runs\n"
    assert "leave revisions and the other options out" in run("diff", "core-sw1", "1", "--startup").stderr
