"""What a commit says: which devices changed, by how much, through whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devicevault.store.models import Reason

#: Devices told by name; of a thousand first backups the rest is counted.
LINES_MAX: Final = 500

_SUBJECTS: Final = {
    Reason.FIRST: "first backup of {}",
    Reason.CHANGED: "{} changed",
    Reason.SECRET: "a hidden secret of {} changed",
    Reason.RULES: "{} shown by new rules",
    "moved": "{} moved",
    "archived": "{} archived",
    "removed": "{} removed",
}


@dataclass(frozen=True)
class Told:
    """One file of a commit."""

    #: Two devices may have one name.
    device_pk: int
    device: str
    path: str
    #: A :class:`Reason`, ``moved``, ``archived`` or ``removed``.
    kind: str
    number: int = 0
    added: int = 0
    removed: int = 0
    moved_from: str = ""
    changed_by: str = ""

    def line(self) -> str:
        parts = [self._what()]
        if self.moved_from:
            parts.append(f"moved from {self.moved_from}")
        if self.changed_by:
            parts.append(f"by {self.changed_by}")
        if self.number:
            parts.append(f"revision {self.number}")
        return f"{self.path}: {', '.join(filter(None, parts))}"

    def _what(self) -> str:
        match self.kind:
            case Reason.CHANGED:
                return f"+{self.added} -{self.removed}"
            case Reason.FIRST:
                return "first backup"
            case Reason.SECRET:
                return "a hidden secret changed"
            case Reason.RULES:
                return f"the device is as it was, its rules are new: +{self.added} -{self.removed}"
            case "archived":
                return "archived: it left the inventory"
            case "removed":
                return "removed: the vault knows the device no more"
        return ""


def message(group: str, told: Sequence[Told], run_id: str) -> str:
    """The message of a commit: a subject, a line for each file, and the run."""
    lines = [one.line() for one in told[:LINES_MAX]]
    if len(told) > LINES_MAX:
        lines.append(f"and {len(told) - LINES_MAX} more")
    text = f"{group}: {_subject(told)}\n\n" + "\n".join(lines) + "\n"
    return text + (f"\nRun: {run_id}\n" if run_id else "")


def _subject(told: Sequence[Told]) -> str:
    kinds = Counter(one.kind for one in {(one.device_pk, one.kind): one for one in told}.values())
    parts = []
    for kind, text in _SUBJECTS.items():
        if count := kinds[kind]:
            only = next(one.device for one in told if one.kind == kind)
            parts.append(text.format(only if count == 1 else f"{count} devices"))
    return ", ".join(parts)
