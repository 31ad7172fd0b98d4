"""A whole campaign: requests and faults together, then peace, then the verdict, and a table of it all."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from devicevault.demo.fleet import Fleet
from tests.durability import devices, verdict
from tests.durability.asker import CANARIES, Asker
from tests.durability.nemesis import Kind, kinds_for, schedule
from tests.durability.recovery import Recovery
from tests.durability.stage import ACKNOWLEDGED_WITHIN_S, Broker, Database, Stage, staged
from tests.durability.verdict import Records, Suffered

#: Seconds to wait for sessions to be running before a fault comes.
BUSY_WITHIN_S: Final = 10


@dataclass(frozen=True)
class Plan:
    """How large a campaign is. The same seed gives the same faults, fates and requests, in the same order."""

    broker: Broker
    database: Database
    requests: int
    faults: int
    seed: int
    fleet_size: int
    #: Sessions at once in each of the two workers.
    concurrency: int = 8
    #: Seconds a request may wait in its queue.
    wait_s: int = 240
    disk_mb: int = 48
    #: Shares of the devices that hang, fail, and change each time they are asked for.
    hanging: float = 0.06
    failing: float = 0.14
    changing: float = 0.3

    @property
    def peace_s(self) -> float:
        """Seconds after which nothing can be waiting any more."""
        return self.wait_s + 2 * ACKNOWLEDGED_WITHIN_S + 60


@dataclass
class Report:
    """What was done, what came of it, and what may not be."""

    plan: Plan
    requests: int = 0
    refused: int = 0
    attached: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    suffered: list[Suffered] = field(default_factory=list)
    visits: int = 0
    attempts: int = 0
    restarts: int = 0
    lasted_s: float = 0
    #: Devices that were whole, and were not backed up in a row all the same: allowed, but told.
    not_collected: list[str] = field(default_factory=list)
    #: By what may not be, a sentence for each time it was.
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not any(self.wrong.values())

    def table(self) -> str:
        """For people, and for the documentation: Markdown."""
        lines = [
            (
                f"{self.plan.broker} and {self.plan.database}, seed {self.plan.seed}: {self.requests} requests, "
                f"{len(self.suffered)} faults, {self.lasted_s:.0f} s"
            ),
            "",
            "| fault | times | recovered within, at most | bound |",
            "|---|--:|--:|--:|",
        ]
        by_kind: dict[Kind, list[float | None]] = {}
        for one in self.suffered:
            by_kind.setdefault(one.kind, []).append(one.recovered_s)
        for kind in sorted(by_kind, key=lambda kind: kind.name):
            times = by_kind[kind]
            known = [seconds for seconds in times if seconds is not None]
            longest = f"{max(known):.1f} s" if len(known) == len(times) else "not at all"
            lines.append(f"| {kind.name} | {len(times)} | {longest} | {kind.bound_s:g} s |")
        statuses = ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())
        lines += [
            "",
            "| | |",
            "|---|--:|",
            f"| requests taken, and told to come again later | {self.requests}, {self.refused} |",
            f"| requests that joined a task that waited already | {self.attached} |",
            f"| rows | {statuses} |",
            f"| rows of whole devices that are no success | {len(self.not_collected)} |",
            f"| attempts the rows tell of, logins the devices saw | {self.attempts}, {self.visits} |",
            f"| daemons started again | {self.restarts} |",
            *(f"| {what} | {len(sentences)} |" for what, sentences in self.wrong.items()),
        ]
        return "\n".join(lines)

    def details(self, most: int = 10) -> str:
        """What is wrong, in sentences."""
        lines = []
        for what, sentences in {**self.wrong, "(allowed) whole and not collected": self.not_collected}.items():
            lines += [f"{what}: {sentence}" for sentence in sentences[:most]]
            lines += [f"{what}: and {len(sentences) - most} more"] * (len(sentences) > most)
        return "\n".join(lines)


def run(plan: Plan, folder: Path, tell: Callable[[str], None] = print) -> Report:
    """Do it all; ``tell`` gets a line for each fault."""
    began = time.monotonic()
    with Fleet(devices.device(number) for number in range(plan.fleet_size + CANARIES)) as fleet:
        fate = devices.Fate(fleet, plan.seed, hanging=plan.hanging, failing=plan.failing, changing=plan.changing)
        with staged(
            folder,
            fleet,
            broker=plan.broker,
            database=plan.database,
            concurrency=plan.concurrency,
            wait_s=plan.wait_s,
            disk_mb=plan.disk_mb,
        ) as stage:
            report = _suffer(plan, stage, fate, tell)
        # The daemons have stopped by now.
        report.wrong["daemons that ended by themselves"] = verdict.ended_by_themselves(stage)
    report.lasted_s = time.monotonic() - began
    return report


def _suffer(plan: Plan, stage: Stage, fate: devices.Fate, tell: Callable[[str], None]) -> Report:
    report = Report(plan)
    chance = random.Random(f"nemesis {plan.seed}")
    with stage.open_store() as store, Asker(stage, fate, plan.seed) as asker:
        recovery = Recovery(stage, asker, store)
        planned = schedule(kinds_for(stage), plan.faults, chance)
        each = -(-plan.requests // (2 * len(planned)))
        for number, kind in enumerate(planned, 1):
            asker.ask(each)
            _wait_for_sessions(stage)
            began = time.time()
            with kind.breaking(stage, chance):
                asker.ask(each)
            ended = time.time()
            recovered_s = recovery.seconds(kind.bound_s)
            report.suffered.append(Suffered(kind, began, ended, recovered_s))
            back = "NOT back" if recovered_s is None else f"back after {recovered_s:.1f} s"
            tell(f"{number}/{len(planned)} {kind.name} for {ended - began:.1f} s: {back}, {recovery.queued()} wait")
        taken = asker.wait_until_all_is_taken(120)
        tell("peace")
        deadline = time.monotonic() + plan.peace_s
        while recovery.queued() != 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        report.wrong["requests never taken"] = [] if taken else ["the last wave was not taken in 120 s"]
        report.wrong["surprises while asking"] = asker.surprises
        report.requests, report.refused = asker.count, asker.refused
        _judge(report, stage, asker, Records.of(store))
        report.wrong["revisions that are wrong"] = verdict.wrongly_kept(store, stage)
    return report


def _judge(report: Report, stage: Stage, asker: Asker, records: Records) -> None:
    report.attached = len(records.attachments)
    report.statuses = Counter(row.status for row in records.rows)
    report.attempts = sum(row.attempt for row in records.rows if row.started_at)
    report.visits = verdict.visits(stage.fleet)
    report.restarts = sum(unit.starts - 1 for unit in stage.units)
    report.not_collected = verdict.not_collected(records, stage.fleet)
    report.wrong |= {
        "requests without their one final row": verdict.without_their_final_row(records, asker.accepted),
        "successes that are not what the device held, whole": verdict.untrue(records, stage.fleet),
        "devices visited more often than their attempts say": verdict.visited_too_often(
            records, stage.fleet, report.suffered
        ),
        "faults not recovered from within their bound": verdict.not_recovered(report.suffered),
        "secrets seen": verdict.secrets_seen(stage),
        "left behind": verdict.left_behind(stage),
    }


def _wait_for_sessions(stage: Stage) -> None:
    """A fault shall meet work under way."""
    deadline = time.monotonic() + BUSY_WITHIN_S
    while not any(device.sessions for device in stage.fleet) and time.monotonic() < deadline:
        time.sleep(0.05)
