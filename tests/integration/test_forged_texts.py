"""Nothing is kept of a text that is another than its digest tells of; what came beside it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from devicevault.compression import compress
from devicevault.messages import Artifact, CollectResult
from devicevault.store import Store, open_store, write_results
from devicevault.store.models import DeviceBackupResult, DeviceConfig, DeviceRevision, HeldArtifact
from devicevault.store.texts import text_of
from tests.results import PART, WHOLE, artifact, request, result

pytestmark = pytest.mark.services


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """One device has its first revision."""
    with open_store(str(request.getfixturevalue(f"{request.param}_url")), migrate=True) as opened:
        assert write_results(opened, [collected(10, WHOLE)]).written
        yield opened


def collected(minutes: float, text: str, device: str = "core-sw1", original: str = "as sent") -> CollectResult:
    sent = artifact(text, original=original.encode(), original_digest=f"k:{original}{len(text)}")
    return result(request(device, minutes=minutes), "success", sent)


def forged(honest: CollectResult, **changes: object) -> CollectResult:
    """With another text of the same length, or whatever is to be changed of it."""
    (true,) = honest.artifacts
    false: Artifact = true.model_copy(update=changes or {"compressed": compress(b"x" * true.size)})
    return honest.model_copy(update={"artifacts": (false,)})


def kept(store: Store) -> set[str]:
    with store.reading() as session:
        assert not session.scalars(select(HeldArtifact)).all()
        return {text_of(text) for text in session.scalars(select(DeviceConfig))}


@pytest.mark.parametrize(
    "sent",
    [
        forged(collected(20, "hostname new\n", device="new")),
        forged(collected(20, f"{WHOLE}vlan 5\n")),
        forged(collected(20, WHOLE, device="another")),
        forged(collected(5, f"{WHOLE}vlan 5\n")),
        forged(collected(5, WHOLE)),
        forged(collected(20, WHOLE, original="another secret")),
        forged(collected(20, PART)),
        forged(collected(5, PART)),
        forged(collected(20, WHOLE), size=len(WHOLE) - 1),
        forged(collected(20, WHOLE), size=len(WHOLE) + 1),
    ],
    ids=[
        "first", "changed", "another device has it", "overtaken", "overtaken and the same", "another secret",
        "suspect", "overtaken suspect", "too small", "too large",
    ],
)  # fmt: skip
def test_nothing_is_kept_of_it(store: Store, sent: CollectResult) -> None:
    before, after = collected(30, "hostname a\n", device="a"), collected(40, "hostname b\n", device="b")
    report = write_results(store, [before, sent, after])
    assert list(report.malformed) == [1]
    assert "'running'" in report.malformed[1]
    assert report.written == [before.task_id, after.task_id]
    assert kept(store) == {WHOLE, "hostname a\n", "hostname b\n"}
    with store.reading() as session:
        assert len(session.scalars(select(DeviceRevision)).all()) == 3
        row = session.scalars(select(DeviceBackupResult).filter_by(task_id=sent.task_id)).one()
        assert (row.status, row.artifacts) == ("queued", [])


@pytest.mark.parametrize("is_first", [True, False])
def test_the_true_text_of_the_same_digest_is_kept(store: Store, is_first: bool) -> None:
    true, false = collected(20, "hostname a\n", device="a"), forged(collected(20, "hostname a\n", device="b"))
    report = write_results(store, [true, false] if is_first else [false, true])
    assert report.malformed.keys() == {int(is_first)}
    assert kept(store) == {WHOLE, "hostname a\n"}


def test_what_has_not_changed_needs_no_look(store: Store) -> None:
    report = write_results(store, [forged(collected(20, WHOLE))])
    assert len(report.written) == 1
    assert not report.changes
    assert kept(store) == {WHOLE}
