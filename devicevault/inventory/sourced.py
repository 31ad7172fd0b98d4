"""The devices of an inventory's sources, beside those of its own file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from devicevault import names
from devicevault.errors import Fault
from devicevault.inventory.draft import Draft, layered, values_of
from devicevault.inventory.entry import DeviceEntry, FaultAt
from devicevault.inventory.known import Known
from devicevault.inventory.source_state import SourceState
from devicevault.tomlfile import dotted

if TYPE_CHECKING:
    from devicevault.inventory.sources import Answer

#: What is wrong with a device once all it inherits is known.
FaultsAlone: TypeAlias = Callable[[Draft], Iterator[Fault]]


@dataclass
class SourcedDrafts:
    """Takes the devices of one answer after another; a name or an id that is there already stays whose it is."""

    defaults: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Any]]
    known: Known
    faults_alone: FaultsAlone
    #: Names, and ids with the name of their device, of all taken so far.
    taken: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    #: By source: the earlier tables that count in place of those at fault in its answer.
    held: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def take_own(self, drafts: list[Draft], path: str) -> None:
        """The inventory's own devices come first."""
        for draft in drafts:
            self._take(draft, path)

    def take(self, answer: Answer) -> SourceState:
        """Every device of the answer that can be; one that can't stays as it was before, if it was."""
        faults = list(answer.faults)
        count = len(self.drafts)
        for name, table in answer.devices.items():
            draft, wrong = self._draft(answer, name, table)
            faults += wrong
            if wrong:
                draft = self._earlier(answer, name, table)
            if draft is not None:
                self._take(draft, answer.label)
        trouble = answer.told if answer.trouble else ""
        return SourceState(
            answer.source.name, len(self.drafts) - count, answer.answered_at, trouble, answer.fix, tuple(faults)
        )

    def _earlier(self, answer: Answer, name: str, table: dict[str, Any]) -> Draft | None:
        """The device as it was before its table came to be at fault."""
        earlier = answer.earlier.get(name, table)
        if earlier == table:
            return None
        draft, wrong = self._draft(answer, name, earlier)
        if wrong:
            return None
        self.held.setdefault(answer.source.name, {})[name] = earlier
        return draft

    def _draft(self, answer: Answer, name: str, table: dict[str, Any]) -> tuple[Draft | None, list[Fault]]:
        fault_at = _fault_at(answer.label, name)
        if name in self.taken:
            return None, [fault_at("", f"this device is already there, in {self.taken[name]}", "remove one of the two")]
        faults: list[Fault] = []
        own = values_of(DeviceEntry, table, self.known, fault_at, faults)
        general = layered(dict(self.defaults), dict(answer.source.defaults))
        group = own.get("group", general.get("group")) or names.DEFAULT_GROUP
        values = layered(layered(general, dict(self.groups.get(group, {}))), own)
        draft = Draft(name, values, fault_at, answer.source.name)
        faults += self.faults_alone(draft)
        other = self.ids.get(draft.values.get("id") or name, name)
        if other != name:
            faults.append(fault_at("id", f"device {other!r} is already known by this id", "give one of them another"))
        return draft, faults

    def _take(self, draft: Draft, place: str) -> None:
        self.taken[draft.name] = place
        self.ids[draft.values.get("id") or draft.name] = draft.name
        self.drafts.append(draft)


def _fault_at(label: str, name: str) -> FaultAt:
    def fault(key: str, problem: str, fix: str) -> Fault:
        return Fault(label, problem, fix, dotted((name, key) if key else (name,)))

    return fault
