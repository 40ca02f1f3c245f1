"""Billed peaks after outages, restarts, meter replacements and changed options."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
import json
from typing import Any

from homeassistant.core import State
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey as K
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import HOUR

from .conftest import MakeTimeLapse
from .simulators import House
from .state_writes import watch_states
from .tariffs import choose_tariff, tariff_state
from .time_lapse import TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "power_tariff/*",
        "statistics.py",
        "registers.py",
        "histories.py",
        "wall_clock.py",
        "coordinator.py",
        "readings.py",
        "tests/time_lapse.py",
    ),
]

RULES = {"interval": "60", "peaks": 2, "one_per_day": False}

# Option of version 2, which is migrated at the start.
HOURLY = {"enabled": True, **RULES}

# kW. The last telegram of an hour is sent one second before its end (2.5 Wh at 9 kW). Totals are rounded
# down to whole Wh.
TOLERANCE = 0.0035


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return a home without solar panels, before Home Assistant is started."""
    house = Loads(clock=datetime(2026, 11, 10, 5, 30, tzinfo=UTC), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.has_recorder = False
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        yield time_lapse


class Loads(House):
    """A house with an additional load."""

    load = 0.0
    """W."""

    def _measure(self) -> None:
        super()._measure()
        self.power[0] += self.load


def at(time: str, day: int = 10) -> datetime:
    """Return a time of November 2026, in UTC."""
    return datetime.fromisoformat(f"2026-11-{day:02}T{time}+00:00")


async def draw(time_lapse: TimeLapse, watts: float, end: datetime) -> None:
    """Set the additional load, and run until a time."""
    house = time_lapse.reader.house
    assert isinstance(house, Loads)
    house.power[0] += watts - house.load
    house.load = watts
    await time_lapse.run_until(end)


def shown(time_lapse: TimeLapse, key: K) -> State:
    return tariff_state(time_lapse.hass, time_lapse.entry, key)


def intervals(time_lapse: TimeLapse, key: K = K.PEAK_DEMAND) -> list[tuple[str, Any]]:
    """Return the peaks of a month: local times, and kW."""
    return [(each["start"][8:16], each["power"]) for each in shown(time_lapse, key).attributes["intervals"]]


def counted(time_lapse: TimeLapse, start: datetime) -> float:
    """Return the demand of an hour in kW, by the meter's registers."""
    registers = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
    return (registers[start + HOUR] - registers[start]) / 1000


@pytest.mark.smoke
async def test_month_bills_its_highest_hours(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:00:00"))
    await draw(time_lapse, 5000, at("08:00:00"))
    await draw(time_lapse, 2000, at("09:00:00"))
    await draw(time_lapse, 4000, at("10:00:00"))
    await draw(time_lapse, 0, at("10:05:00"))
    highest, second = (counted(time_lapse, at(time)) for time in ("07:00:00", "09:00:00"))
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(highest, abs=TOLERANCE)),
        ("10T10:00", pytest.approx(second, abs=TOLERANCE)),
    ]
    assert float(shown(time_lapse, K.PEAK_DEMAND).state) == pytest.approx(
        (highest + second) / 2, abs=TOLERANCE
    )
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0
    assert float(shown(time_lapse, K.DEMAND_LIMIT).state) == pytest.approx(second, abs=TOLERANCE)
    assert shown(time_lapse, K.PREVIOUS_PEAK_DEMAND).state == "unknown"


async def test_current_hour_has_a_forecast(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 3000, at("07:00:30"))
    await draw(time_lapse, 0, at("07:30:00"))
    begin, (now, _) = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT][at("07:00:00")], time_lapse.meter_registers
    demand = (now - begin) / 1000 * 2
    assert float(shown(time_lapse, K.DEMAND).state) == pytest.approx(demand, abs=0.1)
    limit = float(shown(time_lapse, K.DEMAND_LIMIT).state)
    assert shown(time_lapse, K.PEAK_EXPECTED).state == "off"
    available = float(shown(time_lapse, K.AVAILABLE_POWER).state)
    assert available == pytest.approx(2 * limit - demand, abs=0.2)
    await draw(time_lapse, 1000 * limit + 3000, at("07:38:00"))
    assert float(shown(time_lapse, K.EXPECTED_DEMAND).state) > limit
    assert shown(time_lapse, K.PEAK_EXPECTED).state == "on"
    await draw(time_lapse, 0, at("07:45:00"))
    assert shown(time_lapse, K.PEAK_EXPECTED).state == "off"


@pytest.mark.parametrize(
    ("interval", "loads", "key", "numbers"),
    [
        pytest.param(10, [1000] * 30, K.DEMAND, range(9, 12), id="steady"),
        pytest.param(10, [20_600, 20_000] * 15, K.EXPECTED_DEMAND, range(9, 12), id="small changes"),
        # The expected demand rises for minutes, and less and less.
        pytest.param(2, [25_000] * 12, K.EXPECTED_DEMAND, range(15, 26), id="large changes"),
    ],
)
async def test_values_are_written_every_ten_seconds_to_a_minute(
    time_lapse: TimeLapse, interval: int, loads: list[int], key: K, numbers: range
) -> None:
    await time_lapse.start()
    await draw(time_lapse, loads[-1] if interval == 10 else 1000, at("07:10:00"))
    time_lapse.interval = timedelta(seconds=interval)
    await draw(time_lapse, loads[-1] if interval == 10 else 1000, at("07:11:00"))
    written = watch_states(time_lapse.hass, shown(time_lapse, key).entity_id)
    for n, watts in enumerate(loads, 1):
        await draw(time_lapse, watts, at("07:11:00") + n * timedelta(seconds=20))
    assert len(written) in numbers


@pytest.mark.parametrize("kind", ["off", "crashed", "disconnected"])
async def test_hour_is_complete_after_a_restart(time_lapse: TimeLapse, kind: str) -> None:
    await time_lapse.start()
    await draw(time_lapse, 2000, at("07:20:00"))
    await begin_outage(time_lapse, kind)
    await draw(time_lapse, 4000, at("07:25:00"))
    await end_outage(time_lapse, kind)
    await draw(time_lapse, 2000, at("07:40:00"))
    begin, (now, _) = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT][at("07:00:00")], time_lapse.meter_registers
    assert float(shown(time_lapse, K.DEMAND).state) == pytest.approx((now - begin) / 1000 * 1.5, rel=0.04)
    await draw(time_lapse, 0, at("08:05:00"))
    assert dict(intervals(time_lapse))["10T08:00"] == pytest.approx(
        counted(time_lapse, at("07:00:00")), abs=TOLERANCE
    )
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0


async def begin_outage(time_lapse: TimeLapse, kind: str) -> None:
    await {"off": time_lapse.stop, "crashed": time_lapse.crash, "disconnected": time_lapse.disconnect_reader}[
        kind
    ]()


async def end_outage(time_lapse: TimeLapse, kind: str) -> None:
    await (time_lapse.reconnect_reader() if kind == "disconnected" else time_lapse.start())


@pytest.mark.parametrize("stores", [True, False], ids=["stored", "not stored"])
async def test_hours_from_before_the_tariff_are_billed(time_lapse: TimeLapse, *, stores: bool) -> None:
    """Bill stored hours as received hours, and the mean of missed hours."""
    time_lapse.options = {}
    time_lapse.reader.stores_readings = stores
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:50:00"))
    await begin_outage(time_lapse, "off")
    await draw(time_lapse, 6000, at("09:00:00"))
    await draw(time_lapse, 3000, at("10:20:00"))
    await end_outage(time_lapse, "off")
    await draw(time_lapse, 0, at("12:05:00"))
    assert await choose(time_lapse) is None
    await draw(time_lapse, 0, at("12:10:00"))
    if stores:
        expected = {f"10T{hour + 1:02}:00": counted(time_lapse, at(f"{hour:02}:00:00")) for hour in (8, 9)}
    else:
        truth = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
        mean = (truth[at("11:00:00")] - truth[at("07:00:00")]) / 4 / 1000
        expected = {"10T08:00": mean, "10T09:00": mean}
    assert dict(intervals(time_lapse)) == pytest.approx(expected, abs=TOLERANCE)
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == (0 if stores else 4)


@pytest.mark.parametrize("register", [0, 12_345, 10_300_000, 90_000_000])
async def test_meter_replacement_is_not_a_peak(time_lapse: TimeLapse, register: int) -> None:
    await time_lapse.start()
    await draw(time_lapse, 2000, at("07:30:00"))
    old, _ = time_lapse.meter_registers
    time_lapse.reader.house.active_import = {1: float(register), 2: 0.0}
    await draw(time_lapse, 2000, at("09:05:00"))
    truth = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
    hour = (old - truth[at("07:00:00")] + truth[at("08:00:00")] - register) / 1000
    demands = dict(intervals(time_lapse))
    assert max(demands.values()) < 2.6
    # The energy that the new meter counts before its first telegram is unknown.
    assert sum(demands.values()) == pytest.approx(hour + counted(time_lapse, at("08:00:00")), abs=0.1)
    await time_lapse.stop()
    await time_lapse.run_for(minutes=2)
    await time_lapse.start()
    await draw(time_lapse, 0, at("10:02:00"))
    assert max(power for _, power in intervals(time_lapse)) < 2.6


async def test_hourly_registers_are_followed_by_power(time_lapse: TimeLapse) -> None:
    time_lapse.reader.sends_registers_hourly = True
    time_lapse.interval = timedelta(seconds=30)
    await time_lapse.start()
    await draw(time_lapse, 2000, at("07:10:00"))
    await draw(time_lapse, 4000, at("07:40:00"))
    begin, (now, _) = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT][at("07:00:00")], time_lapse.meter_registers
    assert float(shown(time_lapse, K.DEMAND).state) == pytest.approx((now - begin) / 1000 * 1.5, rel=0.04)
    await time_lapse.stop()
    await time_lapse.start()
    await draw(time_lapse, 0, at("07:55:00"))
    now, _ = time_lapse.meter_registers
    assert float(shown(time_lapse, K.DEMAND).state) == pytest.approx((now - begin) / 1000 * 60 / 55, rel=0.05)
    await draw(time_lapse, 0, at("09:05:00"))
    assert ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=TOLERANCE)) in intervals(
        time_lapse
    )


async def test_changed_tariff_keeps_the_current_interval(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:00:00"))
    begin, _ = time_lapse.meter_registers
    await draw(time_lapse, 5000, at("07:20:00"))
    assert await choose(time_lapse, peaks=1) is None
    await draw(time_lapse, 5000, at("07:40:00"))
    now, _ = time_lapse.meter_registers
    average = (now - begin) / 1000 / (40 / 60)
    assert float(shown(time_lapse, K.DEMAND).state) == pytest.approx(average, abs=0.1)
    assert await choose(time_lapse, interval="15", peaks=1) is None
    await draw(time_lapse, 1000, at("08:05:00"))
    # The last telegram of a quarter came a minute before its end.
    assert [power for _, power in intervals(time_lapse)] == [pytest.approx(5.5, abs=0.1)]
    assert await choose(time_lapse, interval="60", peaks=1) is None
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=TOLERANCE))
    ]
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0


async def choose(time_lapse: TimeLapse, **tariff: Any) -> str | None:
    """Add a power tariff, or change it. Return the key of the error, if there is one."""
    error = await choose_tariff(time_lapse.hass, time_lapse.entry, **{**RULES, **tariff})
    await time_lapse.settle()
    return error


async def test_deleted_tariff_can_be_added_again(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 5000, at("08:05:00"))
    entry = time_lapse.entry
    (subentry_id,) = entry.subentries
    before = intervals(time_lapse)
    time_lapse.hass.config_entries.async_remove_subentry(entry, subentry_id)
    await time_lapse.settle()
    registry = er.async_get(time_lapse.hass)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    assert not any(each.config_subentry_id or each.translation_key in K for each in entities)
    assert not entry.runtime_data.tariffs
    await choose(time_lapse)
    assert before
    assert intervals(time_lapse) == before


async def test_diagnostics_have_settings_and_peaks(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 3000, at("07:00:00"))
    await draw(time_lapse, 5000, at("08:05:00"))
    report = await async_get_config_entry_diagnostics(time_lapse.hass, time_lapse.entry)
    assert report["entry"]["subentries"] == [RULES]
    (tariff,) = report["power_tariffs"]
    month = tariff["months"]["2026-11"]
    assert [start for start, _ in month["peaks"]] == [
        "2026-11-10T07:00:00+00:00",
        "2026-11-10T06:00:00+00:00",
    ]
    assert month["missed"] == 0
    assert time_lapse.reader.device_id not in json.dumps(tariff)
