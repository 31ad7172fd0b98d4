"""A text that shrank too much is held beside the history until a person accepts it; it never is the new truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devicevault.errors import UsageError
from devicevault.messages import CollectResult
from devicevault.store import Store, open_store, reader, suspicion, write_results
from devicevault.store.reader import DeviceState, Held
from tests.results import PART, WHOLE, artifact, at, request, result

pytestmark = pytest.mark.services


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with open_store(str(request.getfixturevalue(f"{request.param}_url")), migrate=True) as opened:
        yield opened


def collected(minutes: float, text: str, **values: Any) -> CollectResult:
    sent = artifact(text, original=f"sealed {minutes}".encode(), original_digest=f"k{len(text)}")
    return result(request(minutes=minutes), "success", sent, **values)


def state(store: Store) -> DeviceState:
    with store.reading() as session:
        (only,) = reader.device_states(session)
    return only


def statuses(store: Store) -> list[str]:
    """Oldest first."""
    with store.reading() as session:
        rows = reader.device_results(session, reader.find_device(session, "core-sw1"), limit=99)
    return [row.status for row in reversed(rows)]


def newest(store: Store) -> tuple[int, str]:
    with store.reading() as session:
        found = reader.revision(session, reader.find_device(session, "core-sw1"), artifact="running")
    return found.number, found.text


def held(store: Store) -> Held:
    with store.reading() as session:
        return reader.held(session, reader.find_device(session, "core-sw1"))


def nothing_is_held(store: Store) -> bool:
    try:
        held(store)
    except UsageError:
        return True
    return False


def accept(store: Store) -> list[tuple[str, int, str]]:
    with store.session() as session:
        changes = suspicion.accept(session, reader.find_device(session, "core-sw1"), by="ann")
    return [(change.artifact, change.number, change.reason) for change in changes]


def test_a_text_that_shrank_is_kept_aside_and_the_last_good_one_stands(store: Store) -> None:
    report = write_results(store, [collected(0, WHOLE), collected(1, PART)])
    (reason,) = report.suspects.values()
    assert "running shrank by 50 %" in reason
    assert "devicevault accept core-sw1" in reason
    assert statuses(store) == ["success", "suspect"]
    assert newest(store) == (1, WHOLE)
    assert held(store).text == PART
    now = state(store)
    assert now.latest is not None
    assert (now.latest.status, now.latest.error_message) == ("suspect", reason)
    assert (now.last_success_at, now.suspect_at, now.failures) == (at(0), at(1), 1)


@pytest.mark.parametrize(("kept", "status"), [(69, "suspect"), (71, "success")])
def test_the_share_is_a_setting(kept: int, status: str, store: Store) -> None:
    write_results(store, [collected(0, "x" * 100)])
    write_results(store, [collected(1, "x" * kept)], suspect_shrink=0.3)
    assert statuses(store)[-1] == status


def test_a_share_of_one_suspects_nothing(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(1, "x")], suspect_shrink=1)
    assert statuses(store) == ["success", "success"]


def test_the_same_suspect_text_seen_again_stays_suspect_and_the_newest_is_held(store: Store) -> None:
    write_results(store, [collected(minutes, text) for minutes, text in enumerate([WHOLE, PART, PART, PART])])
    assert statuses(store) == ["success", "suspect", "suspect", "suspect"]
    assert (held(store).collected_at, held(store).sealed) == (at(3), b"sealed 3")
    assert state(store).failures == 3


def test_an_accepted_text_is_the_newest_revision_with_its_original(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(1, PART)])
    assert accept(store) == [("running", 2, "changed")]
    assert newest(store) == (2, PART)
    assert statuses(store) == ["success", "success"]
    assert nothing_is_held(store)
    assert (state(store).last_success_at, state(store).suspect_at, state(store).failures) == (at(1), None, 0)
    with store.reading() as session:
        device = reader.find_device(session, "core-sw1")
        assert reader.original(session, device, artifact="running").sealed == b"sealed 1"
        row = reader.device_results(session, device, limit=1)[0]
        assert (row.changed, row.artifacts[0]["revision"], row.error_message) == (True, 2, "")
        assert reader.result_log(session, row.task_id)[-1]["message"] == "accepted by ann"
    write_results(store, [collected(2, PART)])
    assert statuses(store)[-1] == "success"
    assert newest(store) == (2, PART)


def test_accepting_twice_changes_nothing(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(1, PART)])
    accept(store)
    assert accept(store) == []
    assert newest(store) == (2, PART)


def test_the_same_result_delivered_again_does_not_make_it_the_truth(store: Store) -> None:
    suspect = collected(1, PART)
    write_results(store, [collected(0, WHOLE), suspect])
    assert write_results(store, [suspect]).ignored == 1
    assert statuses(store) == ["success", "suspect"]
    accept(store)
    assert write_results(store, [suspect]).ignored == 1
    assert statuses(store) == ["success", "success"]


def test_a_whole_text_of_the_same_task_outranks_the_suspect_one(store: Store) -> None:
    asked = request(minutes=1)
    write_results(store, [collected(0, WHOLE), result(asked, "success", PART)])
    write_results(store, [result(asked, "success", WHOLE)])
    assert statuses(store) == ["success", "success"]
    assert nothing_is_held(store)


def test_a_good_collection_lets_go_of_what_was_held(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(1, PART), collected(2, WHOLE)])
    assert nothing_is_held(store)
    assert accept(store) == []
    assert newest(store) == (1, WHOLE)


def test_a_suspect_text_overtaken_by_a_good_one_is_not_held(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(2, WHOLE)])
    write_results(store, [collected(1, PART)])
    assert statuses(store) == ["success", "suspect", "success"]
    assert nothing_is_held(store)


def test_an_older_good_text_does_not_let_go_of_a_newer_suspect_one(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(2, PART), collected(1, WHOLE)])
    assert held(store).collected_at == at(2)


def test_one_artifact_that_shrank_holds_all_of_them(store: Store) -> None:
    write_results(store, [result(request(), "success", WHOLE, WHOLE)])
    write_results(store, [result(request(minutes=1), "success", WHOLE + "more\n", PART)])
    assert newest(store) == (1, WHOLE)
    assert accept(store) == [("running", 2, "changed"), ("part-1", 2, "changed")]


def test_other_rules_alone_make_nothing_suspect(store: Store) -> None:
    for minutes, (text, rules) in enumerate([(WHOLE, "r1"), (PART, "r2")]):
        sent = artifact(text, original_digest="same")
        write_results(store, [result(request(minutes=minutes), "success", sent, rules_digest=rules)])
    assert statuses(store) == ["success", "success"]


def test_a_first_backup_has_nothing_to_be_compared_with(store: Store) -> None:
    write_results(store, [collected(0, "x")])
    assert statuses(store) == ["success"]


def test_a_stranger_met_in_a_suspect_session_is_not_pinned(store: Store) -> None:
    write_results(store, [collected(0, WHOLE), collected(1, PART, host_key="ssh-ed25519 STRANGER")])
    with store.reading() as session:
        assert reader.pinned_host_keys(session, ["core-sw1"]) == {}
