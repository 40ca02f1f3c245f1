"""Sums that were reset to zero."""

from datetime import UTC, datetime

import pytest

from custom_components.energy_sse.registers import HOUR
from custom_components.energy_sse.sum_reset import StoredRow, find_sum_resets

LEFT = datetime(2026, 11, 1, tzinfo=UTC)


def row(hour: int, state: float, total: float) -> StoredRow:
    return StoredRow(LEFT + hour * HOUR, state, total)


# The sum was 400 kWh when the register was 1400 kWh. After the outage, the register was 1450 kWh.
BEFORE = row(0, 1400, 400)


@pytest.mark.parametrize("zero_point", [1399.9995, 1400, 1425, 1450, 1451, 1451.0005])
def test_reset_sum_continues_the_previous_sum(zero_point: float) -> None:
    rows = [row(-1, 1399, 399), BEFORE, row(300, 1451, 1451 - zero_point), row(301, 1452, 1452 - zero_point)]
    (reset,) = find_sum_resets(rows)
    assert (reset.before, reset.after) == (rows[1], rows[2])
    assert rows[2].sum + reset.raise_by == pytest.approx(400 + 51)


@pytest.mark.parametrize("zero_point", [0, 1399.9985, 1451.0015, 2000])
def test_other_sum_is_not_a_reset(zero_point: float) -> None:
    assert not list(find_sum_resets([BEFORE, row(300, 1451, 1451 - zero_point)]))


@pytest.mark.parametrize("hours", [1, 24, 300])
def test_reset_is_found_after_an_outage_or_a_purge(hours: int) -> None:
    (reset,) = find_sum_resets([BEFORE, row(hours, 1451, 1)])
    assert reset.raise_by == 450


@pytest.mark.parametrize("energy", [0, 10])
def test_replaced_meter_with_a_higher_register_is_not_a_reset(energy: float) -> None:
    # The sums are right: they do not contain the energy that the new meter has counted before.
    assert not list(find_sum_resets([BEFORE, row(300, 6000, 400 + energy)]))


@pytest.mark.parametrize(("counted", "is_found"), [(0, False), (0.0005, False), (0.0015, True)])
def test_sum_without_missing_energy_is_not_a_reset(counted: float, *, is_found: bool) -> None:
    before = row(0, 1400, counted)
    assert bool(list(find_sum_resets([before, row(300, 1400, 0)]))) is is_found


def test_each_reset_is_found() -> None:
    rows = [BEFORE, row(300, 1450, 0), row(301, 1460, 10), row(600, 1500, 0)]
    assert [reset.raise_by for reset in find_sum_resets(rows)] == pytest.approx([450, 50])
