"""Peaks of power tariffs, compared with a simple calculation."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.energy_sse.power_tariff.demand import (
    Boundary,
    Interval,
    Month,
    MonthlyPeak,
    PowerTariff,
    demand_limit,
    intervals_between,
    is_peak_expected,
    monthly_peaks,
)
from custom_components.energy_sse.registers import HOUR, QUARTER

STOCKHOLM = ZoneInfo("Europe/Stockholm")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

lengths = st.sampled_from([HOUR, QUARTER])
quarters_of_a_day = st.integers(0, 95).map(lambda number: time(number // 4, number % 4 * 15))
tariffs = st.builds(
    PowerTariff,
    interval=lengths,
    peaks=st.integers(1, 10),
    one_per_day=st.booleans(),
    months=st.frozensets(st.integers(1, 12)),
    weekdays_only=st.booleans(),
    begin=quarters_of_a_day,
    end=quarters_of_a_day,
    other_weight=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
zones = st.sampled_from(
    [
        ZoneInfo("UTC"),
        STOCKHOLM,
        ZoneInfo("Europe/Brussels"),
        ZoneInfo("Asia/Kathmandu"),
        ZoneInfo("Australia/Lord_Howe"),
        ZoneInfo("America/St_Johns"),
        ZoneInfo("Pacific/Kiritimati"),
        ZoneInfo("Pacific/Apia"),
    ]
)
# Before the end of a month, and before both changes of summer time.
beginnings = st.sampled_from(["2026-01-30", "2026-03-27", "2026-10-23", "2026-12-30"])
energies = st.integers(0, 12_000).map(float)


@st.composite
def months_of_intervals(draw: st.DrawFn) -> tuple[PowerTariff, list[Interval], ZoneInfo]:
    """Return a tariff, and intervals of some days."""
    tariff = draw(tariffs)
    start = datetime.fromisoformat(draw(beginnings)).replace(tzinfo=UTC)
    intervals = []
    for step, energy in draw(st.lists(st.tuples(st.integers(1, 40), energies), max_size=40)):
        start += step * tariff.interval
        intervals.append(Interval(start, energy, is_missed=False))
    return tariff, intervals, draw(zones)


# ------------------------------------------------------------------------------- simple calculation


def counts(tariff: PowerTariff, local: datetime) -> float:
    """Return the weight of an interval that starts at a local time."""
    if local.month not in tariff.months:
        return tariff.other_weight
    if tariff.weekdays_only and local.strftime("%a") in ("Sat", "Sun"):
        return tariff.other_weight
    # Collect the minutes from the begin to the end of the hours.
    minute, end = 60 * tariff.begin.hour + tariff.begin.minute, 60 * tariff.end.hour + tariff.end.minute
    counted = set()
    while True:
        counted.add(minute)
        minute = (minute + 1) % 1440
        if minute == end:
            break
    return 1.0 if 60 * local.hour + local.minute in counted else tariff.other_weight


def certain_weight(tariff: PowerTariff, intervals: Sequence[Interval], index: int, zone: ZoneInfo) -> float:
    """Return the weight of an interval; for a missed one, the weight that its energy has at least."""

    def is_continued(number: int) -> bool:
        interval = intervals[number]
        following = interval._replace(start=interval.start + tariff.interval)
        return interval.is_missed and intervals[number + 1 : number + 2] == [following]

    first = last = index
    while first and is_continued(first - 1):
        first -= 1
    while is_continued(last):
        last += 1
    locals_ = [each.start.astimezone(zone) for each in intervals[first : last + 1]]
    if len({local.strftime("%x" if tariff.one_per_day else "%Y %m") for local in locals_}) > 1:
        return 0.0
    return min(counts(tariff, local) for local in locals_)


def billed(tariff: PowerTariff, intervals: Sequence[Interval], zone: ZoneInfo, month: Month) -> float | None:
    """Return the mean of the peaks: pick the highest interval, and remove the others that do not count."""
    left: list[tuple[float, date]] = []
    for index, interval in enumerate(intervals):
        local = interval.start.astimezone(zone)
        if (local.year, local.month) == month and counts(tariff, local):
            power = interval.energy if tariff.interval == HOUR else interval.energy * 4
            left.append((power * certain_weight(tariff, intervals, index, zone), local.date()))
    picked: list[float] = []
    while left and len(picked) < tariff.peaks:
        best = max(left)
        picked.append(best[0])
        left.remove(best)
        if tariff.one_per_day:
            left = [each for each in left if each[1] != best[1]]
    return sum(picked) / len(picked) if picked else None


@given(months_of_intervals())
def test_month_has_the_peaks_of_the_simple_calculation(
    case: tuple[PowerTariff, list[Interval], ZoneInfo],
) -> None:
    tariff, intervals, zone = case
    counted = monthly_peaks(tariff, intervals, zone)
    locals_ = [interval.start.astimezone(zone) for interval in intervals]
    for month in {Month.of(local) for local in locals_}:
        expected = billed(tariff, intervals, zone, month)
        if expected is None:
            assert month not in counted
        else:
            assert counted[month].demand == pytest.approx(expected)
            demands = [peak.demand for peak in counted[month].peaks]
            assert demands == sorted(demands, reverse=True)
    assert set(counted) <= {Month.of(local) for local in locals_}


@settings(max_examples=500)
@given(
    tariffs,
    beginnings,
    st.integers(0, 47),
    zones,
    # Most of the energy of a gap is in one interval.
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 0.0, 5000.0]), st.integers(0, 7).map(bool)),
        min_size=2,
        max_size=30,
    ),
)
def test_peaks_with_gaps_are_not_above_those_of_all_intervals(
    tariff: PowerTariff, beginning: str, hour: int, zone: ZoneInfo, steps: list[tuple[float, bool]]
) -> None:
    start = datetime.fromisoformat(beginning).replace(tzinfo=UTC) + hour * HOUR
    boundaries = [Boundary(start, 0.0)]
    known = boundaries[:]
    for energy, is_missed in steps:
        boundaries.append(Boundary(boundaries[-1].time + tariff.interval, boundaries[-1].energy + energy))
        known += [] if is_missed else boundaries[-1:]
    known += boundaries[-1:] if steps[-1][1] else []
    intervals = list(intervals_between(known, tariff.interval))
    true = monthly_peaks(tariff, intervals_between(boundaries, tariff.interval), zone)
    found = monthly_peaks(tariff, intervals, zone)
    assert found.keys() == true.keys()
    for month, peak in found.items():
        assert peak.demand is not None
        assert peak.demand <= (true[month].demand or 0.0) + 1e-6
        assert peak.counted == true[month].counted
        locals_ = [each.start.astimezone(zone) for each in intervals if each.is_missed]
        assert peak.missed == sum(
            bool(counts(tariff, local)) for local in locals_ if Month.of(local) == month
        )


@pytest.mark.parametrize(
    ("tariff", "start"),
    [
        pytest.param(PowerTariff(), NEW_YEAR, id="one day"),
        pytest.param(PowerTariff(one_per_day=True), NEW_YEAR, id="one day, one peak per day"),
        pytest.param(PowerTariff(), NEW_YEAR + 23 * HOUR, id="two days"),
        pytest.param(PowerTariff(interval=QUARTER), NEW_YEAR, id="quarter-hours"),
    ],
)
def test_missed_intervals_have_the_mean_of_their_gap(tariff: PowerTariff, start: datetime) -> None:
    every = tariff.interval
    gap = [each._replace(is_missed=True) for each in hours(3000, 3000, start=start, every=every)]
    after = hours(1000, start=start + 2 * every, every=every)
    assert monthly_peak_of(tariff, [*gap, *after]).demand == 3000


@pytest.mark.parametrize(
    ("tariff", "start"),
    [
        pytest.param(PowerTariff(begin=time(7), end=time(20)), "2026-01-05T19:00Z", id="weight of 0"),
        pytest.param(PowerTariff(one_per_day=True, peaks=3), "2026-01-05T23:00Z", id="two days"),
        pytest.param(PowerTariff(), "2026-01-31T23:00Z", id="two months"),
    ],
)
def test_missed_intervals_count_as_zero_when_ambiguous(tariff: PowerTariff, start: str) -> None:
    gap = [each._replace(is_missed=True) for each in hours(3000, 3000, start=datetime.fromisoformat(start))]
    peaks = monthly_peaks(tariff, gap, UTC).values()
    assert {(peak.demand, peak.missed == peak.counted) for peak in peaks} == {(0.0, True)}


def test_missed_intervals_have_the_lowest_weight_of_their_gap() -> None:
    tariff = PowerTariff(begin=time(6), end=time(22), other_weight=0.5)
    gap = hours(3000, 3000, start=datetime(2026, 1, 5, 21, tzinfo=UTC))
    assert monthly_peak_of(tariff, gap).demand == 3000
    assert monthly_peak_of(tariff, [each._replace(is_missed=True) for each in gap]).demand == 1500


@given(months_of_intervals(), st.integers(1, 40))
def test_limit_is_where_the_monthly_peak_begins_to_rise(
    case: tuple[PowerTariff, list[Interval], ZoneInfo], step: int
) -> None:
    tariff, intervals, zone = case
    if not intervals:
        return
    start = intervals[-1].start + step * tariff.interval
    month = Month.of(start.astimezone(zone))
    before = billed(tariff, intervals, zone, month)

    def with_demand(demand: float) -> float:
        energy = demand * (tariff.interval / HOUR)
        found = billed(tariff, [*intervals, Interval(start, energy, is_missed=False)], zone, month)
        assert found is not None
        return found

    monthly_peak = monthly_peaks(tariff, intervals, zone).get(month)
    limit = None if monthly_peak is None else monthly_peak.limit(start)
    if before is None:
        assert limit is None
    elif counts(tariff, start.astimezone(zone)) == 0:
        assert limit is None
        assert with_demand(1e6) == before
    else:
        assert limit is not None
        assert with_demand(limit) <= before + 1e-6
        assert with_demand(limit + 1) > before


@given(
    lengths,
    st.lists(st.tuples(st.integers(1, 6), st.integers(-500, 9000)), min_size=1, max_size=30),
)
def test_energy_between_boundaries_is_conserved(length: timedelta, steps: list[tuple[int, int]]) -> None:
    points = [Boundary(NEW_YEAR, 1000.0)]
    for number, energy in steps:
        points.append(Boundary(points[-1].time + number * length, points[-1].energy + energy))
    intervals = list(intervals_between(points, length))
    starts = [NEW_YEAR + index * length for index in range(sum(number for number, _ in steps))]
    assert [interval.start for interval in intervals] == starts
    position = 0
    for number, energy in steps:
        gap = intervals[position : position + number]
        assert sum(interval.energy for interval in gap) == pytest.approx(max(energy, 0))
        assert len({interval.energy for interval in gap}) == 1
        assert all(interval.is_missed == (number > 1) for interval in gap)
        position += number


def hours(*demands: float, start: datetime = NEW_YEAR, every: timedelta = HOUR) -> list[Interval]:
    return [
        Interval(start + index * every, demand * (every / HOUR), is_missed=False)
        for index, demand in enumerate(demands)
    ]


def monthly_peak_of(tariff: PowerTariff, intervals: list[Interval]) -> MonthlyPeak:
    (monthly_peak,) = monthly_peaks(tariff, intervals, UTC).values()
    return monthly_peak


def test_three_highest_hours_are_averaged() -> None:
    monthly_peak = monthly_peak_of(PowerTariff(peaks=3), hours(1000, 5000, 2000, 6000, 4000))
    assert monthly_peak.demand == 5000
    assert [each.start.hour for each in monthly_peak.peaks] == [3, 1, 4]
    assert monthly_peak.limit(NEW_YEAR + 5 * HOUR) == 4000


def test_second_peak_of_a_day_does_not_count() -> None:
    tariff = PowerTariff(peaks=2, one_per_day=True)
    monthly_peak = monthly_peak_of(tariff, [*hours(5000, 6000), *hours(1000, start=NEW_YEAR + 24 * HOUR)])
    assert monthly_peak.demand == 3500
    assert monthly_peak.limit(NEW_YEAR + 3 * HOUR) == 6000
    assert monthly_peak.limit(NEW_YEAR + 50 * HOUR) == 1000


@pytest.mark.parametrize("one_per_day", [False, True])
def test_first_of_two_equal_peaks_counts(*, one_per_day: bool) -> None:
    monthly_peak = monthly_peak_of(PowerTariff(one_per_day=one_per_day), hours(1000, 4000, 4000))
    assert [each.start for each in monthly_peak.peaks] == [NEW_YEAR + HOUR]


def test_limit_is_twice_as_high_at_half_weight() -> None:
    tariff = PowerTariff(begin=time(6), end=time(22), other_weight=0.5)
    monthly_peak = monthly_peak_of(tariff, hours(9000, *[0] * 5, 4000))
    assert monthly_peak.demand == 4500
    assert monthly_peak.limit(NEW_YEAR + 12 * HOUR) == 4500
    assert monthly_peak.limit(NEW_YEAR + 23 * HOUR) == 9000


@pytest.mark.parametrize(("begin", "end"), [(6, 22), (22, 6)])
def test_hours_count_from_the_begin_to_before_the_end(begin: int, end: int) -> None:
    tariff = PowerTariff(interval=QUARTER, begin=time(begin), end=time(end))
    for hour, before, after in ((begin, 0.0, 1.0), (end, 1.0, 0.0)):
        change = NEW_YEAR + hour * HOUR
        assert [tariff.weight(change - QUARTER), tariff.weight(change)] == [before, after]


FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tariff", "demands", "limit"),
    [
        pytest.param(PowerTariff(), [], None, id="no lowest limit, no peak"),
        pytest.param(PowerTariff(), [500], 500, id="no lowest limit"),
        pytest.param(PowerTariff(min_limit=2000), [], 2000, id="power, no peak"),
        pytest.param(PowerTariff(min_limit=2000), [500], 2000, id="power"),
        pytest.param(PowerTariff(min_limit=2000), [4000], 4000, id="power below the peak"),
        pytest.param(PowerTariff(min_limit_share=0.5), [500], 3000, id="share"),
        pytest.param(PowerTariff(min_limit_share=0.5), [3500], 3500, id="share below the peak"),
        pytest.param(PowerTariff(min_limit=2000, min_limit_share=0.5), [500], 3000, id="share is higher"),
        pytest.param(PowerTariff(min_limit=4000, min_limit_share=0.5), [500], 4000, id="power is higher"),
        pytest.param(PowerTariff(min_limit=2000, months=frozenset({1})), [], None, id="month does not count"),
        pytest.param(
            PowerTariff(min_limit=2000, months=frozenset({1}), other_weight=0.5), [], 4000, id="half weight"
        ),
    ],
)
def test_limit_has_a_lower_bound(tariff: PowerTariff, demands: list[float], limit: float | None) -> None:
    intervals = [*hours(6000, 1000), *hours(*demands, start=FEBRUARY)]
    peaks = monthly_peaks(tariff, intervals, UTC)
    assert demand_limit(tariff, peaks, FEBRUARY + 5 * HOUR) == limit
    # The monthly peak does not depend on the lowest limit.
    without = PowerTariff(months=tariff.months, other_weight=tariff.other_weight)
    assert [peak.demand for peak in peaks.values()] == [
        peak.demand for peak in monthly_peaks(without, intervals, UTC).values()
    ]


@pytest.mark.parametrize(("missed", "limit"), [(0, 3000), (2, 3000), (3, None), (4, None)])
def test_month_that_was_mostly_missed_has_no_share(missed: int, limit: float | None) -> None:
    intervals = [
        each._replace(is_missed=index < missed) for index, each in enumerate(hours(6000, 1000, 1000, 1000))
    ]
    tariff = PowerTariff(min_limit_share=0.5)
    assert demand_limit(tariff, monthly_peaks(tariff, intervals, UTC), FEBRUARY) == limit


def test_share_of_a_month_before_the_last_one_does_not_count() -> None:
    tariff = PowerTariff(min_limit_share=0.5)
    peaks = monthly_peaks(tariff, hours(6000), UTC)
    assert demand_limit(tariff, peaks, datetime(2026, 3, 1, tzinfo=UTC)) is None


def test_repeated_hour_is_two_hours_of_one_day() -> None:
    intervals = hours(1000, 2000, start=datetime(2026, 10, 25, 0, tzinfo=UTC))
    assert {interval.start.astimezone(STOCKHOLM).hour for interval in intervals} == {2}
    (monthly_peak,) = monthly_peaks(PowerTariff(peaks=2), intervals, STOCKHOLM).values()
    assert monthly_peak.demand == 1500


def test_peak_stays_expected_until_the_demand_falls_below_a_band() -> None:
    assert not is_peak_expected(5000, 5000, was_expected=False)
    assert is_peak_expected(5001, 5000, was_expected=False)
    assert is_peak_expected(4800, 5000, was_expected=True)
    assert not is_peak_expected(4750, 5000, was_expected=True)
    # The band is at least 100 W.
    assert is_peak_expected(901, 1000, was_expected=True)
    assert not is_peak_expected(900, 1000, was_expected=True)
    assert not is_peak_expected(9000, None, was_expected=True)


def test_month_before_january_is_december() -> None:
    assert Month(2026, 1).previous == (2025, 12)
    assert Month(2026, 2).previous == (2026, 1)
    assert Month(2026, 12).previous == (2026, 11)
