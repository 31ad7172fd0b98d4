"""What was found in another program's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from devicevault.errors import UsageError


class ImportFailed(UsageError):  # noqa: N818 - named for what happened, as all errors here
    """What should be imported can't be read, or is not what it is said to be."""


@dataclass
class Gathered:
    """Devices by the other program's own names, and what only a person can carry over."""

    #: What they were read from, for the head of the file that is written.
    origin: str
    #: Tables of devices, each with its ``name``; platforms and groups are called what they were.
    records: list[dict[str, Any]] = field(default_factory=list)
    #: Groups, by their old names, that had a login of their own.
    groups_with_login: set[str] = field(default_factory=set)
    #: What is not carried over: sentences, never with a secret.
    notes: list[str] = field(default_factory=list)
