"""The realistic house: its load profile, its registers, and its past.

The hours of the profile are those of January in BDEW's standard load profile H25 (2025), in percent of the
day's mean. Other figures are in `tests/simulators/household.py`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from statistics import correlation, fmean
from typing import Any

import pytest

from .simulators.house import ZURICH
from .simulators.household import Household

pytestmark = pytest.mark.slow("tests/simulators/*")

H25_WORKDAY, H25_SUNDAY = (
    [int(hour) for hour in day.split()]
    for day in (
        "72 62 59 58 61 69 89 97 91 88 89 97 102 101 98 102 116 145 161 160 146 130 115 92",
        "69 60 54 51 50 50 55 68 86 103 118 134 131 122 115 113 119 137 144 136 121 107 94 76",
    )
)

SEEDS = range(1, 7)

SATURDAY, SUNDAY = 5, 6


def house_at(time: str, **options: Any) -> Household:
    """Return a house at a local time."""
    return Household(clock=datetime.fromisoformat(time).replace(tzinfo=ZURICH).astimezone(UTC), **options)


def minutes(house: Household, duration: timedelta) -> Iterator[datetime]:
    """Advance by a duration. Yield the local time of each minute."""
    for _ in range(duration // timedelta(minutes=1)):
        yield house.local_time(house.clock)
        list(house.advance(60))


def household_load(house: Household) -> float:
    """Return the power without solar panels, heat pump and car."""
    other = sum(each.state.power for each in house.appliances if each.id in ("heat_pump", "car"))
    return house.net_power + house.solar_power - other


@cache
def january() -> dict[tuple[int, int], float]:
    """Return the mean load of some houses in four weeks, by day of the week and hour."""
    loads: dict[tuple[int, int], list[float]] = defaultdict(list)
    for seed in SEEDS:
        house = house_at("2026-01-05", seed=seed)
        for local in minutes(house, timedelta(days=28)):
            loads[local.weekday(), local.hour].append(household_load(house))
    return {key: fmean(each) for key, each in loads.items()}


def hours_of(days: Sequence[int]) -> list[float]:
    """Return the mean of each hour on some days of the week in January, in percent of the mean."""
    hours = [fmean(january()[day, hour] for day in days) for hour in range(24)]
    return [100 * hour / fmean(hours) for hour in hours]


@pytest.mark.parametrize(
    ("profile", "days"),
    [pytest.param(H25_WORKDAY, range(5), id="workday"), pytest.param(H25_SUNDAY, [SUNDAY], id="Sunday")],
)
def test_day_has_the_shape_of_the_load_profile(profile: Sequence[int], days: Sequence[int]) -> None:
    hours = hours_of(days)
    assert correlation(hours, profile) > 0.95
    assert hours == [pytest.approx(hour, abs=30) for hour in profile]
    assert hours.index(max(hours)) in (11, *range(17, 21))
    assert hours.index(min(hours)) in range(1, 6)


def test_noon_of_a_weekend_differs_from_that_of_a_workday() -> None:
    workday, weekend = hours_of(range(5)), hours_of([SATURDAY, SUNDAY])
    assert fmean(weekend[10:14]) > 1.25 * fmean(workday[10:14])


@pytest.mark.parametrize("seed", [1, 2])
def test_year_has_the_energy_of_a_detached_house(seed: int) -> None:
    house = house_at("2026-01-01", seed=seed)
    household = 0.0
    sun, heating = dict.fromkeys(range(1, 13), 0.0), dict.fromkeys(range(1, 13), 0.0)
    heat_pump = next(each for each in house.appliances if each.id == "heat_pump")
    for local in minutes(house, timedelta(days=365)):
        household += household_load(house) / 60_000
        sun[local.month] += house.solar_power / house.solar_peak / 60
        heating[local.month] += heat_pump.state.power / 60_000
    assert household == pytest.approx(5200, rel=0.1)
    assert sum(sun.values()) == pytest.approx(1000, rel=0.12)
    assert 25 < sun[12] < 50
    assert 100 < sun[7] < 160
    assert 4000 < sum(heating.values()) < 6000
    assert min(heating[1], heating[12]) > 5 * max(heating[6], heating[7], heating[8])


def test_gas_follows_the_temperature() -> None:
    used = {}
    for month in ("01", "07"):
        house = house_at(f"2026-{month}-01", has_heat_pump=False)
        before = house.gas
        list(house.advance(timedelta(days=28).total_seconds()))
        used[month] = house.gas - before
    # m³ in four weeks: the heating of a house, and hot water.
    assert 150 < used["01"] < 350
    assert 8 < used["07"] < 30


def test_registers_are_the_integral_of_the_power() -> None:
    house = house_at("2026-03-08", has_car=False)
    tariffs = {1: 0.0, 2: 0.0}
    before = dict(house.active_import)
    for local in minutes(house, timedelta(days=2)):
        tariffs[1 if 6 <= local.hour < 22 else 2] += max(house.net_power, 0) / 60
    for tariff, energy in tariffs.items():
        assert house.active_import[tariff] - before[tariff] == pytest.approx(energy, rel=0.02)


def test_energy_does_not_depend_on_the_steps() -> None:
    # Summer time ends meanwhile.
    houses = [house_at("2026-10-24T12:00") for _ in range(3)]
    for house, step in zip(houses, (7, 60, 86_400), strict=True):
        for _ in range(2 * 86_400 // step):
            list(house.advance(step))
        list(house.advance(2 * 86_400 % step))
    first, *others = [
        (
            *house.active_import.values(),
            *house.active_export.values(),
            *(house.reactive_import, house.reactive_export, house.solar_energy, house.gas),
            *house.maximum_demand.values(),
            *(appliance.energy for appliance in house.appliances),
        )
        for house in houses
    ]
    for other in others:
        assert other == pytest.approx(first, abs=1e-3)


def test_past_joins_the_present() -> None:
    now = house_at("2026-11-29T18:20:05")
    past = house_at("2026-10-01")
    list(past.advance((now.clock - past.clock).total_seconds()))
    for _ in range(60):
        assert [each.index for each in past.appliances] == [each.index for each in now.appliances]
        assert past.power == pytest.approx(now.power)
        assert past.solar_power == now.solar_power
        for house in (past, now):
            list(house.advance(60))


def test_other_seed_is_another_house() -> None:
    one, other = house_at("2026-11-25T12:00"), house_at("2026-11-25T12:00", seed=2)
    assert one.active_import != other.active_import
    assert [*one.runs(one.clock.date())] != [*other.runs(one.clock.date())]


def test_fast_day_has_all_runs_of_a_day() -> None:
    slow, fast = house_at("2026-11-25T00:00"), house_at("2026-11-25T00:00")
    fast.fast_since, fast.speed = fast.clock, 144.0
    runs = [
        [change.appliance.id for change in house.advance(day)] for house, day in ((slow, 86_400), (fast, 600))
    ]
    assert runs[0] == runs[1]
    assert fast.local_time(fast.clock).date() == slow.local_time(slow.clock).date()


def test_switched_appliance_stays_until_the_plan_changes() -> None:
    house = house_at("2026-11-25T10:00")
    house.switch("car", "charging")
    list(house.advance(3600))
    car = house.appliances[-1]
    assert (car.id, car.state.name) == ("car", "charging")
    assert car.energy == pytest.approx(3680)
    assert house.power[0] > 3680 - house.solar_power / 3


def test_fast_time_begins_within_a_step() -> None:
    changes = []
    for steps in ([600], [1] * 600):
        house = house_at("2026-11-25T01:00")
        house.fast_since, house.speed = house.clock + timedelta(seconds=1), 144.0
        changes.append([each.appliance.id for step in steps for each in house.advance(step)])
    assert changes[0] == changes[1]
    assert len(changes[0]) > 20


def test_plan_does_not_switch_appliances_of_a_test() -> None:
    house = house_at("2026-11-25T00:00", is_manual=True)
    house.switch("car", "charging")
    assert [*house.advance(86_400)] == []
    assert [each.id for each in house.appliances if each.index] == ["car"]


def test_house_can_have_no_appliances() -> None:
    house = house_at("2026-01-13", has_appliances=False)
    assert all(house.net_power < 2000 for _ in minutes(house, timedelta(days=2)))
