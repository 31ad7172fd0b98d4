"""Write what became of collections.

Writing the same result twice changes nothing. Of two results of one task ``success`` outranks every other, and
``suspect`` all but that; among the rest the first stands, but ``lost`` and ``expired`` yield to anything that arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from devicevault.errors import MalformedMessage
from devicevault.messages import CollectResult, Status
from devicevault.settings import ConsumerSettings
from devicevault.store.batch import Batch
from devicevault.store.devices import note_newest, pin_host_key
from devicevault.store.engine import Store
from devicevault.store.known import KnownRow
from devicevault.store.missing import ensure_devices, ensure_rows, ensure_runs
from devicevault.store.revisions import Change, collected_at, is_as_it_was, record_artifacts
from devicevault.store.rows import storable
from devicevault.store.suspicion import hold, release, suspicion

_RANK: Final[Mapping[str, int]] = {
    Status.QUEUED: 0,
    Status.LOST: 1,
    Status.EXPIRED: 2,
    Status.SUSPECT: 4,
    Status.SUCCESS: 5,
}
_OTHER_RANK: Final = 3

SUSPECT_SHRINK: Final[float] = ConsumerSettings().suspect_shrink


@dataclass
class WriteReport:
    """What a batch of results did."""

    #: Tasks whose rows got their final status, or a better one.
    written: list[str] = field(default_factory=list)
    #: Results that changed nothing: their task had ended in a way that stands.
    ignored: int = 0
    changes: list[Change] = field(default_factory=list)
    #: Why what a task brought home was held instead of taken, by ``task_id``.
    suspects: dict[str, str] = field(default_factory=dict)
    #: Why a result was not written, by its place in the batch: a text of it is another than its digest tells of.
    malformed: dict[int, str] = field(default_factory=dict)


def outranks(new: str, old: str) -> bool:
    """Whether a task whose row says ``old`` shall say ``new``."""
    return _RANK.get(new, _OTHER_RANK) > _RANK.get(old, _OTHER_RANK)


def write_results(
    store: Store, results: Sequence[CollectResult], *, suspect_shrink: float = SUSPECT_SHRINK
) -> WriteReport:
    """Write a batch of results in one transaction.

    A result of a task nobody queued gets a row as well. A success with a text more than ``suspect_shrink`` (a share)
    smaller than the last good one is written as ``suspect``. Raises
    :class:`~devicevault.errors.ServiceUnavailable`, and nothing is written then.
    """
    report = WriteReport()
    if not results:
        return report
    with store.session() as session:
        batch = Batch(session)
        ensure_runs(session, results)
        ensure_devices(session, results)
        batch.lock_devices(storable(result.device_id) for result in results)
        ensure_rows(session, results, batch.devices)
        batch.lock_rows(storable(result.task_id) for result in results)
        batch.texts.read(_texts_to_compare(batch, results))
        for place, result in enumerate(results):
            try:
                reason = _suspicion(batch, result, suspect_shrink)
            except MalformedMessage as error:
                report.malformed[place] = str(error)
            else:
                _write(batch, result, reason, report)
        batch.write()
    return report


def _texts_to_compare(batch: Batch, results: Sequence[CollectResult]) -> Iterator[str]:
    """Of what another text came for, as far as is known before the results are gone through."""
    for result in results:
        revisions = batch.devices[storable(result.device_id)].revisions
        for artifact in result.artifacts:
            known = revisions.get(storable(artifact.name))
            if known is not None and known.digest != artifact.digest:
                yield known.digest


def _suspicion(batch: Batch, result: CollectResult, suspect_shrink: float) -> str:
    """Why a success can't be trusted, or an empty string; every text of it that is kept is proven.

    Raises :class:`~devicevault.errors.MalformedMessage` where one is another than its digest tells of.
    """
    if result.status != Status.SUCCESS:
        return ""
    device, rules_digest, read_at = batch.devices[storable(result.device_id)], result.rules_digest, collected_at(result)
    batch.texts.prove(
        artifact
        for artifact in result.artifacts
        if not is_as_it_was(device.revisions.get(storable(artifact.name)), artifact, storable(rules_digest), read_at)
    )
    reason = suspicion(batch, device, result, suspect_shrink)
    if reason:
        batch.texts.prove(result.artifacts)
    return reason


def _write(batch: Batch, result: CollectResult, reason: str, report: WriteReport) -> None:
    """``reason`` is why it is suspect."""
    device, row = batch.devices[storable(result.device_id)], batch.rows[storable(result.task_id)]
    status = Status.SUSPECT if reason else result.status
    if not outranks(status, row.status) or _is_expired_too_early(row, result):
        report.ignored += 1
        return
    report.written.append(result.task_id)
    _finish(row, result, status)
    if reason:
        row.write(error_message=storable(reason))
        report.suspects[result.task_id] = reason
        hold(batch, device, row, result)
    elif status == Status.SUCCESS:
        report.changes += record_artifacts(batch, device, row, result.artifacts, collected_at(result))
        release(device, collected_at(result))
        pin_host_key(device, row)
    note_newest(device, row)


def _is_expired_too_early(row: KnownRow, result: CollectResult) -> bool:
    """Whether only the first message of a task expired that was asked for again: the later one is on its way."""
    return (
        result.status == Status.EXPIRED
        and row.repeats > 0
        and row.expires_at is not None
        and row.expires_at > datetime.now(UTC)
    )


def _finish(row: KnownRow, result: CollectResult, status: str) -> None:
    row.write(
        status=storable(status),
        error=storable(result.error),
        error_message=storable(result.error_message),
        log=[line.model_dump(mode="json") for line in result.log],
        attempt=result.attempt,
        started_at=result.started_at,
        recorded_at=datetime.now(UTC),
        collection_duration_ms=result.collection_duration_ms,
        worker=storable(result.worker),
        worker_version=storable(result.worker_version),
        rules_digest=storable(result.rules_digest),
        host_key=storable(result.host_key),
        address=storable(result.address) or row.address,
        model=storable(result.facts.model),
        version=storable(result.facts.version),
        serial=storable(result.facts.serial),
        author=storable(result.facts.author),
        authored_at=storable(result.facts.authored_at),
        completeness=storable(result.completeness),
        is_binary=result.is_binary,
        artifacts=[],
        changed=False,
    )
