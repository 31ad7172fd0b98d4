"""Times as an operator reads them: local, to the second."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final

import click

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART: Final = re.compile(r"(\d{1,6})([smhdw])")


def local_time(moment: datetime | None, otherwise: str = "never") -> str:
    """``2026-05-04 13:37:00`` in the time zone of this host."""
    return otherwise if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


class Duration(click.ParamType[timedelta]):
    """``26h``, ``90m``, ``2d``, ``1d12h``: a time span on the command line."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        parts = _PART.findall(value)
        if not parts or "".join(map("".join, parts)) != value:
            self.fail(f"{value!r} is no time span; write 90m, 26h, 2d or 1d12h", param, ctx)
        return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
