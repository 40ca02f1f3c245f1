"""Power and register, held against each other."""

from collections.abc import Callable

import pytest

from custom_components.energy_sse.reader import ScaleCheck


def run(check: ScaleCheck, register_of: Callable[[float], float], *, hours: float) -> int:
    """Let a steady load of 2 kW run, with a reading every ten seconds. Returns the number of comparisons."""
    comparisons, power = 0, 2000
    for n in range(int(hours * 360)):
        true_energy = power * n / 360
        comparisons += check.take(power=power, register=register_of(true_energy), time=n * 10.0)
    return comparisons


def test_meter_that_agrees_with_itself_is_no_error() -> None:
    check = ScaleCheck()
    assert run(check, lambda energy: 1_000_000 + int(energy), hours=6) >= 2
    assert check.error is None


@pytest.mark.parametrize("factor", [0.001, 0.01, 0.1, 10, 100, 1000])
def test_register_that_is_off_by_a_power_of_ten_is_found(factor: float) -> None:
    check = ScaleCheck()
    assert run(check, lambda energy: 1_000_000 + factor * energy, hours=6) >= 1
    assert check.error is not None
    assert check.error.by_register == pytest.approx(factor * check.error.by_power, rel=0.02)


@pytest.mark.parametrize(
    ("factor", "hours", "comparisons"),
    [(1, 2.45, 0), (1, 2.6, 1), (0.1, 2.45, 0), (0.1, 2.6, 1), (1000, 0.095, 0), (1000, 0.15, 1)],
)
def test_accounts_are_compared_when_both_have_something_to_say(
    factor: float, hours: float, comparisons: int
) -> None:
    assert run(ScaleCheck(), lambda energy: 1_000_000 + factor * energy, hours=hours) == comparisons


@pytest.mark.parametrize("factor", [0.4, 0.7, 1.5, 3, 30])
def test_other_differences_are_none_of_its_business(factor: float) -> None:
    check = ScaleCheck()
    run(check, lambda energy: factor * energy, hours=10)
    assert check.error is None


def test_error_that_is_over_is_no_error_any_more() -> None:
    check = ScaleCheck()
    run(check, lambda energy: 1000 * energy, hours=6)
    assert check.error is not None
    run(check, lambda energy: 10_000_000 + energy, hours=6)
    assert check.error is None


def test_register_that_rises_once_an_hour_is_compared_from_rise_to_rise() -> None:
    check = ScaleCheck()

    def of_the_full_hour(energy: float) -> float:
        return energy // 2000 * 2000

    # Begins half an hour after a rise: what the register says first is of an hour nobody has heard.
    assert run(check, lambda energy: of_the_full_hour(energy + 1000), hours=12) >= 2
    assert check.error is None


def test_nothing_is_compared_across_a_gap() -> None:
    check = ScaleCheck()
    for n in range(200):
        # An hour of silence after every reading, in which the register rises and the power does not tell.
        assert not check.take(power=200, register=n * 2000.0, time=n * 3600.0)


def test_meter_that_was_exchanged_begins_anew() -> None:
    check = ScaleCheck()
    check.take(power=1000, register=9_000_000, time=0)
    check.take(power=1000, register=9_000_003, time=10)
    assert not check.take(power=1000, register=5, time=20)
    assert not check.take(power=1000, register=900_000, time=30)
    assert check.error is None
