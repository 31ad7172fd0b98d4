"""Which revisions of an artifact are kept, the longer ago the fewer.

All of them for a time; then the last one of each day, then of each week, then of each month, always in UTC. A
revision is *overtaken* when the next one was found. What was the device's state at the end of a period that is still
kept stays, and so does what was overtaken within the first time. Each rule only ever lets go of more as time goes by,
and what one revision's fate is does not depend on when the others went.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from devicevault.settings import RetentionSettings


@dataclass(frozen=True)
class Known:
    """What thinning has to know of a revision."""

    id: int
    collected_at: datetime
    has_original: bool


def surplus(revisions: Sequence[Known], retention: RetentionSettings, now: datetime) -> list[Known]:
    """Those of one artifact's revisions, given from old to new, that need not be kept any more.

    The newest is always kept, and so is the newest of which there is an original.
    """
    rules = list(_rules(retention, now))
    restoring = next((one.id for one in reversed(revisions) if one.has_original), None)
    return [
        one
        for one, following in pairwise(revisions)
        if one.id != restoring and not any(keeps(one.collected_at, following.collected_at) for keeps in rules)
    ]


#: Whether a rule keeps what was found at the first time and overtaken at the second.
_Rule = Callable[[datetime, datetime], bool]


def _rules(retention: RetentionSettings, now: datetime) -> Iterator[_Rule]:
    """The rules, each beginning where the one before ends; none follows one that keeps for ever."""
    since = now.astimezone(UTC)
    for length, before, begin_of in (
        (retention.all_days, _days_before, _itself),
        (retention.daily_days, _days_before, _day),
        (retention.weekly_weeks, _weeks_before, _week),
        (retention.monthly_months, _months_before, _month),
    ):
        if not length:
            yield _rule(None, begin_of)
            return
        since = before(since, length)
        yield _rule(since, begin_of)


def _rule(since: datetime | None, begin_of: Callable[[datetime], datetime]) -> _Rule:
    def keeps(found_at: datetime, overtaken_at: datetime) -> bool:
        # The end of the last whole period in which it was the newest, if there is one.
        end = begin_of(overtaken_at.astimezone(UTC))
        is_last = begin_of is _itself or found_at < end
        return is_last and (since is None or end >= since)

    return keeps


def _itself(moment: datetime) -> datetime:
    return moment


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _week(moment: datetime) -> datetime:
    """Weeks begin on Mondays."""
    return _day(moment) - timedelta(days=moment.weekday())


def _month(moment: datetime) -> datetime:
    return _day(moment).replace(day=1)


def _days_before(moment: datetime, days: int) -> datetime:
    return moment - timedelta(days=days)


def _weeks_before(moment: datetime, weeks: int) -> datetime:
    return moment - timedelta(weeks=weeks)


def _months_before(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))
