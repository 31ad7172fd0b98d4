"""One thing worth a notice."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """What a notice is about; a receiver chooses by these."""

    CHANGED = "changed"
    FAILING = "failing"
    HOST_KEY = "host_key"
    SUSPECT = "suspect"
    STALE = "stale"
    RECOVERED = "recovered"
    WORKER_GONE = "worker_gone"
    OUTPUT_FAILING = "output_failing"
    #: Sent by `devicevault notify test`, whatever a receiver chooses.
    TEST = "test"


#: How bad it is, in the words of Apprise.
SEVERITIES: Final = {
    Kind.CHANGED: "info",
    Kind.RECOVERED: "success",
    Kind.TEST: "info",
    Kind.STALE: "warning",
    Kind.SUSPECT: "warning",
}


@dataclass(frozen=True)
class Event:
    """What is told. Nothing in it is secret: texts and differences are those with secrets hidden."""

    kind: Kind
    title: str
    at: datetime
    #: Its collector group; empty for what is about the whole vault.
    group: str = ""
    device: str = ""
    #: Sentences below the title.
    text: str = ""
    #: What else a program may want to know; JSON types only.
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        """As a program is given it."""
        return {
            "kind": self.kind.value,
            "severity": SEVERITIES.get(self.kind, "failure"),
            "title": self.title,
            "at": self.at.isoformat(),
            "group": self.group,
            "device": self.device,
            "text": self.text,
            **self.details,
        }
