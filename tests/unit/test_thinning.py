"""Which revisions are kept: a promise for each rule, over any history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from devicevault.settings import RetentionSettings
from devicevault.store.retention.thinning import Known, surplus

NOW = datetime(2026, 5, 6, 13, 37, tzinfo=UTC)  # a Wednesday
YEARS = 6

#: Found at these times, in hours before now, newest last; with or without an original.
histories = st.lists(
    st.tuples(st.integers(0, YEARS * 365 * 24), st.booleans()), min_size=1, max_size=60, unique_by=lambda one: one[0]
).map(
    lambda found: [
        Known(number, NOW - timedelta(hours=hours), has_original)
        for number, (hours, has_original) in enumerate(sorted(found, reverse=True), start=1)
    ]
)
lengths = st.integers(0, 40)
settings = st.builds(
    RetentionSettings, all_days=lengths, daily_days=lengths, weekly_weeks=lengths, monthly_months=lengths
)
later = st.integers(0, 3 * 365).map(lambda days: NOW + timedelta(days=days))


def kept(history: list[Known], retention: RetentionSettings, now: datetime = NOW) -> list[Known]:
    gone = {one.id for one in surplus(history, retention, now)}
    return [one for one in history if one.id not in gone]


@given(histories, settings, later)
def test_nothing_young_goes_and_the_newest_stays_with_the_newest_original(
    history: list[Known], retention: RetentionSettings, now: datetime
) -> None:
    left = kept(history, retention, now)
    assert history[-1] in left
    assert [one for one in history if one.has_original][-1:] == [one for one in left if one.has_original][-1:]
    young = now - timedelta(days=retention.all_days)
    overtaken = {one.id: following.collected_at for one, following in pairwise(history)}
    assert all(one in left for one in history if overtaken.get(one.id, now) >= young or not retention.all_days)


@given(histories, settings, later)
def test_it_is_idempotent(history: list[Known], retention: RetentionSettings, now: datetime) -> None:
    left = kept(history, retention, now)
    assert kept(left, retention, now) == left


@given(histories, settings, st.lists(later, min_size=1, max_size=4))
def test_time_only_takes_away_and_pruning_often_leaves_what_pruning_once_leaves(
    history: list[Known], retention: RetentionSettings, moments: list[datetime]
) -> None:
    left = history
    for now in sorted(moments):
        before, left = left, kept(left, retention, now)
        assert set(left) <= set(before)
    assert left == kept(history, retention, max(moments))


@given(histories, st.integers(1, 40), st.integers(1, 40))
def test_the_state_at_the_end_of_each_day_that_is_kept_is_kept(
    history: list[Known], all_days: int, daily_days: int
) -> None:
    retention = RetentionSettings(all_days=all_days, daily_days=daily_days, weekly_weeks=1, monthly_months=1)
    left = kept(history, retention)
    midnight = NOW.replace(hour=0, minute=0)
    for days in range(all_days + daily_days):
        end = midnight - timedelta(days=days)
        assert newest(history, end) == newest(left, end)


def newest(history: list[Known], before: datetime) -> Known | None:
    return next((one for one in reversed(history) if one.collected_at < before), None)


def test_an_example_of_each_rule() -> None:
    """A change each six hours for two years, and the newest now."""
    hours = range(2 * 365 * 24, -1, -6)
    history = [Known(number, NOW - timedelta(hours=ago), True) for number, ago in enumerate(hours)]
    retention = RetentionSettings(all_days=2, daily_days=3, weekly_weeks=2, monthly_months=3)
    left = [one.collected_at.strftime("%a %d %b %H:%M") for one in kept(history, retention)]
    assert left == [
        "Sat 31 Jan 19:37",  # the last of a month
        "Sat 28 Feb 19:37",
        "Tue 31 Mar 19:37",
        "Sun 19 Apr 19:37",  # the last of a week, since 17 April
        "Sun 26 Apr 19:37",
        "Thu 30 Apr 19:37",  # the last of a month again
        "Fri 01 May 19:37",  # the last of a day, since 1 May
        "Sat 02 May 19:37",
        "Sun 03 May 19:37",
        "Mon 04 May 07:37",  # everything that was overtaken since 4 May
        "Mon 04 May 13:37",
        "Mon 04 May 19:37",
        "Tue 05 May 01:37",
        "Tue 05 May 07:37",
        "Tue 05 May 13:37",
        "Tue 05 May 19:37",
        "Wed 06 May 01:37",
        "Wed 06 May 07:37",
        "Wed 06 May 13:37",
    ]


def test_zero_keeps_for_ever_what_its_rule_keeps() -> None:
    history = [Known(number, NOW - timedelta(hours=12 * (5000 - number)), True) for number in range(5001)]
    assert kept(history, RetentionSettings(all_days=0)) == history
    for_ever = kept(history, RetentionSettings(all_days=1, daily_days=0, weekly_weeks=1, monthly_months=1))
    assert 2500 <= len(for_ever) <= 2503
