"""Which rows belong into missed hours: the arithmetic alone, over many series."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.backfill.plan import (
    HOUR,
    NoFitError,
    Plan,
    Row,
    Series,
    TooEarlyError,
    plan_rows,
)

BEGIN = datetime(2026, 11, 10, tzinfo=UTC)


def hour(number: int) -> datetime:
    return BEGIN + number * HOUR


def rows_of(registers: Sequence[float], offset: float) -> list[Row]:
    """Return the rows of hours that end with some registers, the first one after the first full hour."""
    return [Row(hour(n), register, register + offset) for n, register in enumerate(registers[1:])]


def series_of(rows: Sequence[Row], *, is_whole: bool = True, watt_hour: float = 1.0) -> Series:
    return Series(
        rows=rows,
        is_whole=is_whole,
        latest=rows[-1],
        compiled_until=hour(1000),
        watt_hour=watt_hour,
    )


def after(series: Series, plan: Plan) -> list[Row]:
    """Return the rows of a series once a plan was carried out, as the recorder does it."""
    rows = {
        row.start: replace(row, sum=row.sum + plan.raise_by)
        if plan.raise_from is not None and row.start >= plan.raise_from
        else row
        for row in series.rows
    }
    rows |= {row.start: row for row in plan.rows}
    return [rows[start] for start in sorted(rows)]


def changes(rows: Sequence[Row]) -> Mapping[datetime, float]:
    """Return what the Energy dashboard shows."""
    first, *_ = rows
    return {first.start: first.sum} | {row.start: row.sum - before.sum for before, row in pairwise(rows)}


@st.composite
def outages(draw: st.DrawFn) -> tuple[list[int], int, int, str, float]:
    """Draw the registers of some days, when an outage began and ended, what it left, and the offset."""
    energies = draw(st.lists(st.integers(0, 20_000), min_size=6, max_size=40))
    registers = [draw(st.integers(0, 40_000_000))]
    for energy in energies:
        registers.append(registers[-1] + energy)
    first = draw(st.integers(2, len(registers) - 3))
    last = draw(st.integers(first, len(registers) - 2))
    return registers, first, last, draw(st.sampled_from(["flat", "missing"])), draw(st.floats(-1e8, 1e8))


@given(outages())
def test_every_hour_gets_what_the_meter_counted_and_a_second_time_nothing(
    outage: tuple[list[int], int, int, str, float],
) -> None:
    registers, first, last, left, offset = outage
    rows = rows_of(registers, offset)
    for n in range(first - 1, last):
        # The first one is half heard in either case.
        rows[n] = Row(rows[n].start, registers[first - 1], registers[first - 1] + offset)
    if left == "missing":
        del rows[first:last]
    series = series_of(rows)
    full_hours = [hour(n) for n in range(first, last + 1)]
    known = {hour(n): float(register) for n, register in enumerate(registers)}
    filled = after(series, plan_rows(full_hours, known, registers[-1], series))
    assert [row.state for row in filled] == registers[1:]
    shown = changes(filled)
    for n, (before, register) in enumerate(pairwise(registers)):
        if n:
            assert shown[hour(n)] == pytest.approx(register - before, abs=1e-6)
    assert plan_rows(full_hours, known, registers[-1], series_of(filled)) == Plan()


@given(outages(), st.sampled_from([1.0, 0.001, 0.000001]))
def test_history_before_the_first_hour_leaves_no_hour_negative_or_doubled(
    outage: tuple[list[int], int, int, str, float], watt_hour: float
) -> None:
    registers, first, _, _, _ = outage
    states = [register * watt_hour for register in registers]
    # The sensor came in the middle of the hour that begins at `first`.
    zero_point = (states[first] + states[first + 1]) / 2
    rows = rows_of(states, -zero_point)[first:]
    series = series_of(rows, watt_hour=watt_hour)
    full_hours = [hour(n) for n in range(first + 1)]
    known = {hour(n): state for n, state in enumerate(states)}
    plan = plan_rows(full_hours, known, states[-1], series)
    shown = changes(after(series, plan))
    for n, (before, state) in enumerate(pairwise(states)):
        assert shown.get(hour(n), 0.0) == pytest.approx(state - before, abs=0.6 * watt_hour)
    again = series_of(after(series, plan), watt_hour=watt_hour)
    assert not plan_rows([hour(0)], known, states[-1], again).rows


# ------------------------------------------------------------------------------------------------- no fit

REGISTERS = [1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 7000.0]
KNOWN = {hour(n): register for n, register in enumerate(REGISTERS)}


def flat_from_hour_two_to_four() -> list[Row]:
    rows = rows_of(REGISTERS, -1000.0)
    for n in (2, 3, 4):
        rows[n] = Row(hour(n), 3100.0, 2100.0)
    return rows


FULL_HOURS = [hour(3), hour(4), hour(5)]


@pytest.mark.parametrize(
    ("known", "now", "reason"),
    [
        ({**KNOWN, hour(4): 3900.0}, 7000.0, "register falls"),
        ({**KNOWN, hour(3): 3000.0}, 7000.0, "lower than what was heard"),
        ({**KNOWN, hour(5): 7500.0}, 9000.0, "register falls"),
        ({**KNOWN, hour(4): 5000.0, hour(5): 6000.0}, 5500.0, "fallen since"),
        ({**KNOWN, hour(4): 500_000.0, hour(5): 500_001.0}, 900_000.0, "faster than a house"),
    ],
)
def test_registers_that_do_not_fit_are_not_written(
    known: Mapping[datetime, float], now: float, reason: str
) -> None:
    with pytest.raises(NoFitError, match=reason):
        plan_rows(FULL_HOURS, known, now, series_of(flat_from_hour_two_to_four()))


@pytest.mark.parametrize("edited", [1, 3, 5])
def test_sums_that_somebody_has_edited_are_left_alone(edited: int) -> None:
    rows = flat_from_hour_two_to_four()
    rows[edited] = replace(rows[edited], sum=rows[edited].sum + 1)
    with pytest.raises(NoFitError, match="do not continue"):
        plan_rows(FULL_HOURS, KNOWN, 7000.0, series_of(rows))


def test_history_that_does_not_reach_back_far_enough_is_left_alone() -> None:
    rows = flat_from_hour_two_to_four()[2:]
    with pytest.raises(NoFitError, match="nothing before"):
        plan_rows(FULL_HOURS, KNOWN, 7000.0, series_of(rows, is_whole=False))


def test_hour_that_the_recorder_has_yet_to_compile_is_left_to_it() -> None:
    series = series_of(flat_from_hour_two_to_four())
    with pytest.raises(TooEarlyError):
        plan_rows(FULL_HOURS, KNOWN, 7000.0, replace(series, compiled_until=hour(5) - timedelta(minutes=5)))
    with pytest.raises(TooEarlyError):
        plan_rows(FULL_HOURS, KNOWN, 7000.0, replace(series, latest=None))


def test_hours_that_nobody_knows_stay_flat_and_the_next_known_one_has_it_all() -> None:
    series = series_of(flat_from_hour_two_to_four())
    known = {hour(3): KNOWN[hour(3)] + 200}
    plan = plan_rows(FULL_HOURS, known, 7000.0, series)
    assert [row.state for row in plan.rows] == [4200.0, 4200.0, 4200.0]
    assert min(changes(after(series, plan)).values()) == 0


def test_history_from_before_the_first_row_begins_at_zero_and_all_that_follows_is_raised() -> None:
    registers = [1000.0 + 100.0 * n for n in range(11)]
    # The recorder has known the register since the sixth hour, and counts from there.
    series = series_of(
        [Row(hour(n), registers[n + 1], registers[n + 1] - registers[6]) for n in range(6, 10)]
    )
    full_hours = [hour(n) for n in range(1, 7)]
    known = {hour(n): registers[n] for n in range(1, 7)}
    plan = plan_rows(full_hours, known, registers[10], series)
    assert (plan.raise_from, plan.raise_by) == (hour(6), 500)
    assert changes(after(series, plan)) == {hour(n): 100 for n in range(1, 10)}
