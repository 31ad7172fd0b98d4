"""Times as an operator reads them: local, to the second."""

from __future__ import annotations

from datetime import datetime


def local_time(moment: datetime | None, otherwise: str = "never") -> str:
    """``2026-05-04 13:37:00`` in the time zone of this host."""
    return otherwise if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"
