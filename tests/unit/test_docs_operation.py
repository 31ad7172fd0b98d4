"""What the pages on monitoring and remote workers say is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from devicevault.daemons import consumer, worker
from devicevault.join.accounts import rabbitmq_permissions, redis_rules
from devicevault.names import RESULTS_STREAM
from devicevault.outputs.metrics import markdown_table
from devicevault.queues import BROKER_TIMEOUT_S
from devicevault.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "docs" / "monitoring.md"
REMOTE = ROOT / "docs" / "remote-workers.md"


def marked_part(page: Path, marker: str) -> str:
    _, _, rest = page.read_text("utf-8").partition(f"<!-- {marker} -->\n")
    part, end, _ = rest.partition(f"<!-- /{marker} -->")
    assert end
    return part


def permissions() -> str:
    kinds = ("configure", "write", "read")
    lines = [f"{kind:<9}  {pattern}" for kind, pattern in zip(kinds, rabbitmq_permissions("dmz"), strict=True)]
    return "\n".join(["```", *lines, "```"]) + "\n"


def test_the_table_of_metrics_is_what_is_served() -> None:
    assert marked_part(MONITORING, "metrics") == markdown_table()


def test_the_permissions_shown_are_those_that_are_given() -> None:
    assert marked_part(REMOTE, "permissions") == permissions()
    assert marked_part(REMOTE, "acl").split() == ["```", *redis_rules("dmz", RESULTS_STREAM).split(), "```"]


@pytest.mark.parametrize("daemon", [worker, consumer])
def test_what_waits_for_a_restart_is_listed(daemon: object) -> None:
    fixed = daemon.FIXED  # type: ignore[attr-defined]
    listed = [set(re.findall(r"`([a-z_.]+)`", line)) for line in MONITORING.read_text().splitlines()]
    assert set(fixed) in listed


def test_a_starting_worker_gives_up_before_systemd_does() -> None:
    unit = (ROOT / "systemd" / "devicevault-worker@.service").read_text()
    (limit_s,) = re.findall(r"^TimeoutStartSec=(\d+)$", unit, re.MULTILINE)
    assert WorkerSettings().start_timeout_s + 2 * BROKER_TIMEOUT_S < int(limit_s)
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    (group,) = yaml.safe_load((ROOT / "packaging/monitoring/alerts.yaml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_the_dashboards_panels_do_not_overlap() -> None:
    panels = json.loads((ROOT / "packaging/monitoring/dashboard.json").read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
