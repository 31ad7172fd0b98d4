"""What the history tells, on SQLite and on PostgreSQL: authors, states at a time, changes and searches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devicevault.messages import CollectFacts
from devicevault.store import Store, open_store, reader, write_results
from devicevault.store.changes import changes_since
from devicevault.store.matching import Matcher
from devicevault.store.search import AT_ONCE, search
from devicevault.store.states import Chosen, states
from tests.results import artifact, at, request, result

pytestmark = pytest.mark.services


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with open_store(str(request.getfixturevalue(f"{request.param}_url")), migrate=True) as opened:
        yield opened


def collect(store: Store, minutes: float, *texts: Any, device: str = "core-sw1", **values: Any) -> None:
    group = values.pop("group", "default")
    write_results(store, [result(request(device, minutes=minutes, group=group), "success", *texts, **values)])


def told(author: str, when: str) -> CollectFacts:
    return CollectFacts(author=author, authored_at=when)


class TestAuthors:
    def authors(self, store: Store) -> list[tuple[int, str, str]]:
        with store.reading() as session:
            found = reader.device_revisions(session, reader.find_device(session, "core-sw1"), limit=10)
        return [(one.number, one.author, one.authored_at) for one in reversed(found)]

    def test_a_revision_keeps_who_the_device_said_made_it(self, store: Store) -> None:
        collect(store, 0, "a\n", facts=told("ann", "noon"))
        collect(store, 1, "a\n", facts=told("eve", "one"))
        collect(store, 2, "b\n", facts=told("bob", "two"))
        assert self.authors(store) == [(1, "ann", "noon"), (2, "bob", "two")]

    def test_a_change_the_device_knows_nothing_of_is_nobodys(self, store: Store) -> None:
        """The telling is as old as the one before: it is about an earlier change."""
        collect(store, 0, "a\n", facts=told("ann", "noon"))
        collect(store, 1, "b\n", facts=told("ann", "noon"))
        assert self.authors(store)[-1] == (2, "", "")

    def test_other_rules_are_nobodys_change(self, store: Store) -> None:
        collect(store, 0, artifact("a\n", original_digest="k:1"), rules_digest="r1")
        collect(store, 1, artifact("b\n", original_digest="k:1"), rules_digest="r2", facts=told("ann", "noon"))
        assert self.authors(store)[-1] == (2, "", "")

    def test_a_device_may_say_what_no_database_can_hold(self, store: Store) -> None:
        collect(store, 0, "a\n", facts=told("nul\0", "\ud800"))
        assert self.authors(store) == [(1, "nul\N{REPLACEMENT CHARACTER}", "?")]


class TestStates:
    @pytest.fixture(autouse=True)
    def _collected(self, store: Store) -> None:
        collect(store, 0, "a\n", "start\n")
        collect(store, 10, "b\n", "start\n")
        collect(store, 20, "c\n", "start\n")
        collect(store, 15, "x\n", device="dmz-sw1", group="dmz")

    def chosen(self, store: Store, chosen: Chosen | None = None, **options: Any) -> list[tuple[str, str, int]]:
        with store.reading() as session:
            return [(one.device, one.artifact, one.number) for one in states(session, chosen or Chosen(), **options)]

    def test_the_newest_of_each_artifact_main_one_first(self, store: Store) -> None:
        assert self.chosen(store) == [("core-sw1", "running", 3), ("core-sw1", "part-1", 1), ("dmz-sw1", "running", 1)]

    def test_what_was_the_newest_at_a_time(self, store: Store) -> None:
        assert self.chosen(store, at=at(12)) == [("core-sw1", "running", 2), ("core-sw1", "part-1", 1)]
        assert self.chosen(store, at=at(-1)) == []

    def test_every_revision_up_to_a_time(self, store: Store) -> None:
        found = self.chosen(store, at=at(12), every_revision=True)
        assert found == [("core-sw1", "running", 1), ("core-sw1", "running", 2), ("core-sw1", "part-1", 1)]

    def test_only_those_chosen(self, store: Store) -> None:
        assert self.chosen(store, Chosen(groups=("dmz",))) == [("dmz-sw1", "running", 1)]
        assert self.chosen(store, Chosen(devices=("dmz-sw1",))) == [("dmz-sw1", "running", 1)]
        assert self.chosen(store, Chosen(platforms=("linux",))) == []

    def test_what_changed_since(self, store: Store) -> None:
        with store.reading() as session:
            changed = [
                (one.after.device, one.before and one.before.number, one.old, one.new)
                for one in changes_since(session, Chosen(), at(5))
            ]
        assert changed == [("core-sw1", 1, "a\n", "c\n"), ("dmz-sw1", None, "", "x\n")]


class TestSearch:
    def test_a_text_many_devices_share_is_found_on_each(self, store: Store) -> None:
        count = AT_ONCE + 50
        shared = [result(request(f"sw{number:03}"), "success", "telnet\nend\n") for number in range(3)]
        own = [
            result(request(f"x{number:03}"), "success", f"hostname x{number}\ntelnet {number}\n")
            for number in range(count)
        ]
        write_results(store, shared + own)
        with store.reading() as session:
            every = states(session, Chosen())
        found = list(search(store, every, Matcher.compile("^telnet")))
        assert len(found) == count + 3
        assert [(one.state.device, one.lines) for one in found[:2]] == [
            ("sw000", [(1, "telnet")]),
            ("sw001", [(1, "telnet")]),
        ]
        assert found[-1].lines == [(2, f"telnet {count - 1}")]
        assert not list(search(store, every, Matcher.compile("nowhere")))
