"""Results written together end as they would one after the other, whatever the order they come in."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from devicevault.messages import CollectResult
from devicevault.store import Store, open_store, write_results
from devicevault.store.models import (
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    HeldArtifact,
    SealedOriginal,
)
from tests.results import artifact, at, request, result

LONG = "".join(f"interface Eth1/{n}\n" for n in range(40))
#: Whole configurations, and one that shrank too much.
TEXTS = (LONG, f"{LONG}vlan 5\n", f"{LONG}vlan 6\n", LONG[:200])


def some_result(chance: random.Random, tasks: list[Any]) -> CollectResult:
    """Of one of two devices; sometimes of a task that has ended already."""
    if tasks and chance.random() < 0.2:
        asked = chance.choice(tasks)
    else:
        asked = request(f"sw{chance.randrange(2)}", minutes=60 * chance.random(), task_id=f"task-{len(tasks)}")
        tasks.append(asked)
    if chance.random() < 0.2:
        return result(asked, chance.choice(["failure", "skipped", "lost", "expired"]), started_at=None)
    texts = [
        artifact(
            chance.choice(TEXTS),
            name=name,
            original=f"original {chance.randrange(100)}".encode(),
            original_digest=chance.choice(["", "v1:a", "v1:b", "v2:c"]),
            is_salted=chance.random() < 0.2,
        )
        for name in chance.choice([("running",), ("running", "startup")])
    ]
    facts = {"author": chance.choice(["", "ann", "bob"])}
    rules, key = chance.choice(["", "r1", "r2"]), chance.choice(["", "ssh-rsa AAAA", "ssh-rsa BBBB"])
    return result(asked, "success", *texts, facts=facts, rules_digest=rules, host_key=key)


def everything(store: Store) -> dict[str, list[Any]]:
    """What the tables say, in names and without the numbers of rows and the time of writing."""
    row, revision, held = DeviceBackupResult, DeviceRevision, HeldArtifact
    with store.reading() as session:
        task_ids: dict[int | None, str] = dict(session.execute(select(row.id, row.task_id)).all())
        questions = {
            "rows": select(
                row.task_id, row.status, row.error_message, row.author, row.host_key, row.changed, row.artifacts
            ).order_by(row.task_id),
            "revisions": select(
                Device.name, revision.artifact, revision.number, revision.reason, revision.added, revision.removed,
                revision.collected_at, revision.confirmed_at, revision.original_digest, revision.rules_digest,
                revision.author, DeviceConfig.digest, row.task_id, SealedOriginal.sealed, SealedOriginal.collected_at,
            )
            .join(Device, Device.id == revision.device_pk)
            .join(DeviceConfig, DeviceConfig.id == revision.config_id)
            .join(row, row.id == revision.result_id)
            .outerjoin(SealedOriginal, SealedOriginal.revision_id == revision.id)
            .order_by(Device.name, revision.artifact, revision.number),
            "held": select(held.artifact, held.sealed, held.collected_at, row.task_id)
            .join(row, row.id == held.result_id)
            .order_by(row.task_id, held.artifact),
            "texts": select(DeviceConfig.digest, DeviceConfig.size).order_by(DeviceConfig.digest),
        }  # fmt: skip
        found: dict[str, list[Any]] = {
            name: [tuple(one) for one in session.execute(q)] for name, q in questions.items()
        }
        devices = session.scalars(select(Device).order_by(Device.name))
        found["devices"] = [
            (
                one.name,
                one.host_key,
                one.main_artifact,
                task_ids.get(one.latest_result_id),
                task_ids.get(one.last_success_id),
            )
            for one in devices
        ]
        return found


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_is_its_results_one_after_the_other(tmp_path: Path, seed: int) -> None:
    chance, tasks = random.Random(seed), []  # type: ignore[var-annotated]
    before, together = ([some_result(chance, tasks) for _ in range(count)] for count in (5, 20))
    with (
        open_store(f"sqlite:///{tmp_path}/one.db", migrate=True) as one,
        open_store(f"sqlite:///{tmp_path}/many.db", migrate=True) as many,
    ):
        apart = [write_results(one, [each]) for each in (*before, *together)]
        write_results(many, before)
        report = write_results(many, together)
        assert everything(many) == everything(one)
        assert report.changes == [change for each in apart[len(before) :] for change in each.changes]
        assert report.ignored == sum(each.ignored for each in apart[len(before) :])


@pytest.mark.services
def test_one_statement_writes_many_of_them(postgresql_url: str) -> None:
    """The same with PostgreSQL: two states of each of many devices in one batch."""
    asked = [request(f"sw{n}", minutes=minutes) for minutes in (0, 5) for n in range(50)]
    results = [result(each, "success", f"{LONG}{each.requested_at}\n") for each in asked]
    with open_store(postgresql_url, migrate=True) as store:
        write_results(store, results)
        write_results(store, results)
        found = everything(store)
    assert [(name, number) for name, _, number, *_ in found["revisions"]] == sorted(
        (f"sw{n}", number) for n in range(50) for number in (1, 2)
    )
    assert {confirmed for *_, confirmed in [one[:8] for one in found["revisions"]]} == {at(0), at(5)}
