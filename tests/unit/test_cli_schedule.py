"""``devicevault schedule``, held against answers that systemctl gave on a Debian 12."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault import names, systemctl
from devicevault.cli import main
from devicevault.cli.schedule import Clock, ending
from devicevault.messages import CollectRequest
from devicevault.store import open_run, open_store, queue_requests, write_results
from tests.results import at, request, result

TIMER = """TimersCalendar={{ OnCalendar=*-*-* 00:00:00 ; next_elapse=Wed 2026-11-25 00:00:00 UTC }}
NextElapseUSecRealtime={next}
LastTriggerUSec={last}
Result=success
RandomizedDelayUSec=1h
Persistent=yes
Id=devicevault-collect@{group}.timer
LoadState={load}
ActiveState={active}
UnitFileState={enabled}
"""
ON = {"active": "active", "enabled": "enabled", "next": "Wed 2026-11-25 00:29:58 UTC", "load": "loaded"}
OFF = {"active": "inactive", "enabled": "disabled", "next": "", "load": "loaded"}
SERVICE = """Result={result}
ExecMainStatus={code}
Id=devicevault-collect@{group}.service
ActiveState={active}
"""

INVENTORY = """
[defaults]
platform = "frr"
[groups.dmz]
[groups.branch-2]
[devices.a]
group = "dmz"
[devices.b]
group = "dmz"
[devices.off]
group = "dmz"
enabled = false
[devices.c]
group = "branch-2"
[devices.d]
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, sqlite_url: str) -> Run:
    (tmp_path / "devices.toml").write_text(INVENTORY)
    environ = {
        "DEVICEVAULT_CONFIG": None,
        "DEVICEVAULT_DATABASE_URL": sqlite_url,
        "DEVICEVAULT_INVENTORY__PATH": str(tmp_path / "devices.toml"),
    }

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, ("schedule", *arguments), env=environ, catch_exceptions=False)

    return run_command


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host where dmz has a clock, branch-2 and default have none, and old is a group of before with one."""
    timers = [
        TIMER.format(group="dmz", last="Tue 2026-11-24 00:29:58 UTC", **ON),
        TIMER.format(group="branch-2", last="", **OFF),
        TIMER.format(group="default", last="", **OFF),
        TIMER.format(group="old", last="", **ON),
    ]
    services = [SERVICE.format(group="dmz", result="exit-code", code=3, active="failed")]

    def show(units: Iterable[str], properties: Iterable[str] = ()) -> list[systemctl.Unit]:
        return systemctl.parsed("\n".join(timers if "devicevault-collect@*.timer" in units else services))

    monkeypatch.setattr(systemctl, "is_running", lambda: True)
    monkeypatch.setattr(systemctl, "show", show)


@pytest.fixture
def ran(sqlite_url: str) -> None:
    """dmz was collected by the clock, and after that by a person."""
    with open_store(sqlite_url, migrate=True) as store:
        for minutes, kind, status in (
            (0, "scheduled", "success"),
            (1, "scheduled", "failure"),
            (2, "manual", "success"),
        ):
            with store.session() as session:
                run_id = open_run(session, asked_by="timer", kind=kind, requested_at=at(minutes))
                asked: list[CollectRequest] = [
                    request(device, minutes=minutes, group="dmz", run_id=run_id) for device in ("a", "b")
                ]
                queue_requests(session, run_id, asked)
            write_results(store, [result(one, status, error="timeout" * (status == "failure")) for one in asked[:1]])


@pytest.mark.usefixtures("host", "ran")
def test_each_group_has_its_clock_its_times_and_how_the_last_run_went(run: Run) -> None:
    lines = {line.split()[0]: line for line in run().output.splitlines() if line.strip()}
    assert lines["dmz"].split()[1:6] == ["2", "on", "*-*-*", "00:00:00", "+"]
    assert "no device at all was backed up; " in lines["dmz"]
    assert "1 failure" in lines["dmz"]
    assert "1 queued" in lines["dmz"]
    assert lines["default"].split()[1:3] == ["1", "off"]
    assert "never" in lines["default"]


@pytest.mark.usefixtures("host")
def test_what_does_not_fit_is_told_with_the_command_that_mends_it(run: Run) -> None:
    told = run().output
    for group in ("branch-2", "default"):
        assert f"give it one: systemctl enable --now devicevault-collect@{group}.timer\n" in told
    assert "group old has no enabled device; its clock: systemctl disable --now devicevault-collect@old.timer" in told
    assert "@dmz" not in told


@pytest.mark.usefixtures("host", "ran")
def test_programs_get_all_of_it(run: Run) -> None:
    [dmz] = json.loads(run("--group", "dmz", "--json").output)
    assert (dmz["group"], dmz["devices"], dmz["advice"]) == ("dmz", 2, "")
    clock = dmz["clock"]
    assert clock["timer"] == "devicevault-collect@dmz.timer"
    assert (clock["calendar"], clock["delay"], clock["catches_up"]) == (["*-*-* 00:00:00"], "1h", True)
    assert (clock["next_run"], clock["last_run"]) == ("2026-11-25T00:29:58+00:00", "2026-11-24T00:29:58+00:00")
    assert dmz["run"]["statuses"] == {"failure": 1, "queued": 1}


@pytest.mark.usefixtures("ran")
def test_without_systemd_it_tells_what_the_rows_know(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemctl, "is_running", lambda: False)
    told = run()
    assert told.exit_code == 0
    assert "devicevault collect --scheduled --group GROUP" in told.output
    assert "1 failure" in told.output
    assert "systemctl enable" not in told.output
    assert json.loads(run("--json").output)[-1]["clock"] is None


@pytest.mark.parametrize("answer", [None, []])
def test_a_systemd_that_does_not_answer_or_knows_no_unit_of_ours_is_none(
    run: Run, monkeypatch: pytest.MonkeyPatch, answer: list[systemctl.Unit] | None
) -> None:
    monkeypatch.setattr(systemctl, "is_running", lambda: True)
    monkeypatch.setattr(systemctl, "show", lambda units, properties=(): answer)
    assert "no clock is known" in run().output


def test_a_group_nobody_knows_is_a_mistake_that_names_the_nearest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemctl, "is_running", lambda: False)
    told = run("--group", "dzm")
    assert told.exit_code == 2
    assert "dmz" in told.output


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ({"ActiveState": "activating", "Result": "success", "ExecMainStatus": "0"}, "running"),
        (
            {"ActiveState": "activating", "Result": "exit-code", "ExecMainStatus": "75"},
            "broker or database is away, asking again every minute",
        ),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "217"}, "exit-code, exit code 217"),
        ({"ActiveState": "failed", "Result": "oom-kill", "ExecMainStatus": "9"}, "oom-kill"),
        ({"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}, ""),
        ({}, ""),
    ],
)
def test_the_end_of_a_run_in_words(unit: systemctl.Unit, words: str) -> None:
    assert ending(unit) == words


def test_a_clock_without_a_calendar_or_times_is_told_as_such() -> None:
    clock = Clock.of({"Id": "x", "TimersCalendar": "", "NextElapseUSecRealtime": "n/a", "LastTriggerUSec": "n/a"}, {})
    assert (clock.calendar, clock.next_run, clock.last_run, clock.active) == ((), None, None, False)


def test_no_group_name_needs_escaping_in_a_unit() -> None:
    """systemd escapes neither letters nor digits nor ``_``, and ``-`` is special to ``%I`` only, which no unit has."""
    assert names.is_group_name("branch-2_a")
    assert not any(names.is_group_name(name) for name in ("a b", "a/b", "ä", "a@b", "a.b", "A", "-a", ""))
    units = Path(__file__).parents[2] / "systemd"
    assert not any("%I" in line for unit in units.glob("*@*") for line in unit.read_text().splitlines())
