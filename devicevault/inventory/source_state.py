"""How the sources of an inventory stand."""

from __future__ import annotations

from dataclasses import dataclass

from devicevault.errors import Fault


@dataclass(frozen=True)
class SourceState:
    """How a source stands: what the check and the doctor tell of it."""

    name: str
    devices: int
    #: In seconds since 1970; 0 for never.
    answered_at: float
    #: Why its answer is an earlier one or missing, and what to do; empty for one that is as it should be.
    trouble: str = ""
    fix: str = ""
    #: Devices that are left out, or kept as they were, for what the source says of them.
    faults: tuple[Fault, ...] = ()
    #: Why its answer can't be kept for the day there is none; empty where it is.
    unkept: str = ""
