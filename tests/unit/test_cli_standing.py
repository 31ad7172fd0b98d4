"""What is not safe: stale, suspect and never asked for devices, as status, show, diff and accept tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.store import open_run, open_store, queue_requests, write_results
from devicevault.store.requests import cancel_run
from tests.results import request, result

WHOLE = "".join(f"interface ethernet {number}\n" for number in range(100))
PART = WHOLE[: len(WHOLE) // 2]

INVENTORY = """
[defaults]
platform = "frr"
[groups.dmz]
[groups.lab]
[devices.fresh]
[devices.old]
[devices.new]
group = "dmz"
[devices.shrunk]
group = "dmz"
[devices.off]
enabled = false
"""

Run = Callable[..., Result]


@pytest.fixture
def environ(tmp_path: Path, sqlite_url: str) -> dict[str, str | None]:
    (tmp_path / "devices.toml").write_text(INVENTORY)
    return {
        "DEVICEVAULT_CONFIG": None,
        "DEVICEVAULT_DATABASE_URL": sqlite_url,
        "DEVICEVAULT_INVENTORY__PATH": str(tmp_path / "devices.toml"),
        "SUDO_USER": "ann",
    }


@pytest.fixture
def run(environ: dict[str, str | None]) -> Run:
    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)

    return run_command


@pytest.fixture(autouse=True)
def vault(sqlite_url: str) -> None:
    """fresh backed up just now, old a day and a half ago and failed since, shrunk suspect, removed not asked for."""
    now = datetime.now(UTC)

    def ended(device: str, hours_ago: float, status: str, *texts: str, **values: Any) -> Any:
        asked = request(device, requested_at=now - timedelta(hours=hours_ago), **values)
        return result(asked, status, *texts, error="timeout" * (status == "failure"))

    with open_store(sqlite_url, migrate=True) as store:
        write_results(
            store,
            [
                ended("fresh", 1, "success", WHOLE),
                ended("old", 36, "success", WHOLE),
                ended("old", 12, "failure"),
                ended("old", 2, "failure"),
                ended("shrunk", 30, "success", WHOLE, group="dmz"),
                ended("shrunk", 3, "success", PART, group="dmz"),
                ended("removed", 99, "success", WHOLE),
            ],
        )


def listed(found: Result, exit_code: int = 0) -> dict[str, dict[str, Any]]:
    assert found.exit_code == exit_code, found.output
    return {one["device"]: one for one in json.loads(found.stdout)}


class TestStatus:
    def test_devices_nobody_ever_asked_for_are_shown_as_never(self, run: Run) -> None:
        found = listed(run("status", "--json"))
        assert list(found) == ["fresh", "new", "old", "removed", "shrunk"]
        assert (found["new"]["latest"], found["new"]["group"]) == (None, "dmz")
        assert {name: one["in_inventory"] for name, one in found.items()} == {
            "fresh": True,
            "new": True,
            "old": True,
            "removed": False,
            "shrunk": True,
        }
        lines = {line.split()[0]: line for line in run("status").stdout.splitlines() if line.strip()}
        assert "never" in lines["new"]
        assert "not in the inventory" in lines["removed"]
        assert run("status", "new").exit_code == 0

    def test_failures_in_a_row_and_what_is_suspect_are_shown(self, run: Run) -> None:
        found = listed(run("status", "--json"))
        assert {name: one["failures"] for name, one in found.items()} == {
            "fresh": 0,
            "new": 0,
            "old": 2,
            "removed": 0,
            "shrunk": 1,
        }
        (line,) = [line for line in run("status").stdout.splitlines() if line.startswith("shrunk")]
        assert "suspect" in line
        assert "running shrank by 50 %" in line

    def test_stale_devices_make_the_exit_code_1(self, run: Run) -> None:
        assert list(listed(run("status", "--stale", "26h", "--json"), exit_code=1)) == ["new", "old", "shrunk"]
        assert list(listed(run("status", "--stale", "1d12h30m", "--json"), exit_code=1)) == ["new"]
        assert run("status", "--stale", "26h", "old").exit_code == 1
        found = run("status", "--stale", "26h", "fresh")
        assert (found.exit_code, found.stdout) == (0, "every device has a good backup that is young enough\n")

    def test_without_an_inventory_every_device_the_vault_knows_counts(
        self, run: Run, environ: dict[str, str | None]
    ) -> None:
        Path(str(environ["DEVICEVAULT_INVENTORY__PATH"])).unlink()
        found = run("status", "--stale", "26h", "--json")
        assert list(listed(found, exit_code=1)) == ["old", "removed", "shrunk"]
        assert "the inventory can't be used" in found.stderr

    @pytest.mark.parametrize("wrong", ["26", "h", "1y", "1h ", "-1h", ""])
    def test_what_is_no_time_span_is_a_usage_error(self, wrong: str, run: Run) -> None:
        found = run("status", "--stale", wrong)
        assert found.exit_code == 2
        assert "26h" in found.stderr

    def test_a_group_nobody_knows_is_refused_with_those_there_are(self, run: Run) -> None:
        found = run("status", "--group", "dmx")
        assert found.exit_code == 2
        assert "no device has the group 'dmx'; there are: default, dmz" in found.output

    def test_failed_is_what_needs_a_look(self, run: Run) -> None:
        assert list(listed(run("status", "--failed", "--json"))) == ["new", "old", "shrunk"]

    def test_what_failed_stays_in_sight_when_somebody_asks_again_and_gives_up(self, run: Run, sqlite_url: str) -> None:
        with open_store(sqlite_url) as store:
            now = datetime.now(UTC)
            first, again = request("sw9", requested_at=now - timedelta(minutes=1)), request("sw9", requested_at=now)
            write_results(store, [result(first, "failure", error="timeout", error_message="no answer")])
            with store.session() as session:
                run_id = open_run(session, asked_by="ann")
                queue_requests(session, run_id, [again])
        assert "sw9" in listed(run("status", "--failed", "--json"))
        with open_store(sqlite_url) as store, store.session() as session:
            cancel_run(session, run_id, by="ann")
        shown = listed(run("status", "--failed", "--json"))["sw9"]
        assert (shown["latest"]["status"], shown["failures"]) == ("cancelled", 1)

    def test_a_held_configuration_is_shown_when_a_later_collection_failed(self, run: Run, sqlite_url: str) -> None:
        with open_store(sqlite_url) as store:
            later = request("shrunk", requested_at=datetime.now(UTC), group="dmz")
            write_results(store, [result(later, "failure", error="timeout", error_message="no answer; try again")])
        (line,) = [line for line in run("status").stdout.splitlines() if line.startswith("shrunk")]
        assert "timeout: no answer; a suspect configuration of" in line


class TestSuspect:
    def test_it_can_be_looked_at_and_compared(self, run: Run) -> None:
        assert run("show", "shrunk", "--suspect").stdout == PART
        assert run("show", "shrunk").stdout == WHOLE
        assert json.loads(run("show", "shrunk", "--suspect", "--json").stdout)["text"] == PART
        shown = run("diff", "shrunk", "--suspect").stdout
        assert "+++ shrunk running suspect" in shown
        assert "-interface ethernet 99" in shown
        assert json.loads(run("diff", "shrunk", "--suspect", "--json").stdout)["from"]["number"] == 1
        assert "shrank by 50 %" in run("history", "shrunk").stdout

    def test_accepted_it_is_the_newest(self, run: Run) -> None:
        assert run("accept", "shrunk").stdout == "shrunk: accepted as running revision 2\n"
        assert run("show", "shrunk").stdout == PART
        assert run("show", "shrunk", "--suspect").exit_code == 2
        assert listed(run("status", "shrunk", "--json"))["shrunk"]["latest"]["status"] == "success"
        assert "accepted by ann" in run("history", "shrunk", "--log").stdout

    def test_a_whole_group_is_accepted(self, run: Run) -> None:
        found = run("accept", "--group", "dmz", "--json")
        assert json.loads(found.stdout) == [{"device": "shrunk", "revisions": {"running": 2}}]
        assert run("accept", "--group", "dmz").stdout == "nothing suspect is held of these groups\n"

    def test_nothing_is_accepted_when_one_of_them_is_not_suspect(self, run: Run) -> None:
        found = run("accept", "shrunk", "fresh")
        assert found.exit_code == 2
        assert "nothing suspect is held of fresh" in found.stderr
        assert run("show", "shrunk").stdout == WHOLE
        assert run("accept").exit_code == 2

    def test_options_that_do_not_fit_are_refused(self, run: Run) -> None:
        for command in (
            ("show", "shrunk", "--suspect", "--revision", "1"),
            ("show", "shrunk", "--suspect", "--original"),
            ("show", "shrunk", "--suspect", "--artifact", "startup"),
            ("diff", "shrunk", "1", "--suspect"),
        ):
            assert run(*command).exit_code == 2


def test_before_the_first_collection_every_device_is_one_never_asked_for(
    run: Run, environ: dict[str, str | None], tmp_path: Path
) -> None:
    environ["DEVICEVAULT_DATABASE_URL"] = f"sqlite:///{tmp_path}/not-there.db"
    told = run("status", "--json")
    assert told.exit_code == 0
    assert [state["device"] for state in json.loads(told.stdout)] == ["fresh", "new", "old", "shrunk"]
    assert "nothing was collected yet: there is no database at" in told.stderr
    assert run("status", "--stale", "26h").exit_code == 1
    assert not (tmp_path / "not-there.db").exists()
