"""Times as an operator reads them: local, to the second."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

import click

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART: Final = re.compile(r"(\d{1,6})([smhdw])")


def local_time(moment: datetime | None, otherwise: str = "never") -> str:
    """``2026-05-04 13:37:00`` in the time zone of this host."""
    return otherwise if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def to_the_minute(moment: datetime) -> str:
    """``2026-05-04 13:37``, where a table has little room."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


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


class Moment(click.ParamType[datetime]):
    """``2026-05-04``, ``2026-05-04 13:37``, ``2026-05-04T13:37:00Z``, or ``26h`` for so long ago.

    Without a time zone it is this host's. A day alone stands for its first moment, or for its last. What is later than
    today is refused: a mistyped year.
    """

    name = "moment"

    def __init__(self, *, whole_day: bool = False) -> None:
        """``whole_day``: a day alone stands for its end, so that what happened in it counts."""
        self._time_of_day = time.max if whole_day else time.min

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if _PART.match(value):
                return datetime.now(UTC) - Duration().convert(value, param, ctx)
            moment = datetime.fromisoformat(value)
            if len(value) <= len("2026-05-04"):
                moment = datetime.combine(moment, self._time_of_day)
            in_utc, day = moment.astimezone(UTC), moment.astimezone().date()
        except (ValueError, OverflowError, click.BadParameter):
            self.fail(
                f"{value!r} is no point in time; write 2026-05-04, '2026-05-04 13:37', or 26h for so long ago",
                param,
                ctx,
            )
        if day > datetime.now(UTC).astimezone().date():
            self.fail(f"{value!r} lies ahead; nothing is known of it yet", param, ctx)
        return in_utc
