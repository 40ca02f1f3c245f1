"""What a power tariff bills, with a real recorder: outages, restarts, exchanges and corrections included."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
import json
from typing import Any

from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, State, callback
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, TariffKey as K
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import HOUR

from .conftest import MakeTimeLapse
from .home_assistant import entity_id, state_of
from .readers import House
from .time_lapse import TimeLapse
from .waiting import until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "power_tariff/*",
        "statistics.py",
        "registers.py",
        "wall_clock.py",
        "coordinator.py",
        "readings.py",
        "tests/time_lapse.py",
    ),
]

HOURLY = {"enabled": True, "interval": "60", "peaks": 2, "one_per_day": False}
QUARTERS = {**HOURLY, "interval": "15", "peaks": 1}

# kW. The last telegram of an hour is sent one second before its end (2.5 Wh at 9 kW), and totals are
# rounded down to whole Wh.
TOLERANCE = 0.0035


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return days of a house without sun, early on a morning in November. No Home Assistant yet."""
    house = Loads(clock=datetime(2026, 11, 10, 5, 30, tzinfo=UTC), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.has_recorder = False
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        yield time_lapse


class Loads(House):
    """A house that draws what it is told, on top of some hundred W."""

    load = 0.0
    """W."""

    def _measure(self) -> None:
        super()._measure()
        self.power[0] += self.load


def at(time: str, day: int = 10) -> datetime:
    """Return a time of November 2026, in UTC."""
    return datetime.fromisoformat(f"2026-11-{day:02}T{time}+00:00")


async def draw(time_lapse: TimeLapse, watts: float, end: datetime) -> None:
    """Let the house draw a power."""
    house = time_lapse.reader.house
    assert isinstance(house, Loads)
    house.power[0] += watts - house.load
    house.load = watts
    await time_lapse.live_until(end)


def shown(time_lapse: TimeLapse, key: K) -> State:
    platform = "binary_sensor" if key is K.PEAK_EXPECTED else "sensor"
    return state_of(time_lapse.hass, platform, f"{time_lapse.reader.device_id}_{key}")


def intervals(time_lapse: TimeLapse, key: K = K.PEAK_DEMAND) -> list[tuple[str, Any]]:
    """Return what the month is made of: local times, and kW."""
    return [(each["start"][8:16], each["power"]) for each in shown(time_lapse, key).attributes["intervals"]]


def counted(time_lapse: TimeLapse, start: datetime) -> float:
    """Return the demand of an hour by the meter's own registers, in kW."""
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


async def test_running_hour_is_looked_ahead(time_lapse: TimeLapse) -> None:
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


async def test_expected_demand_follows_a_stove_within_minutes(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("06:10:02"))
    time_lapse.interval = timedelta(seconds=2)
    await draw(time_lapse, 6000, at("06:11:02"))
    first = float(shown(time_lapse, K.EXPECTED_DEMAND).state)
    assert 1.5 < first < 3
    await draw(time_lapse, 6000, at("06:18:02"))
    assert 4.5 < float(shown(time_lapse, K.EXPECTED_DEMAND).state) < 6.6


async def test_kettle_at_the_start_of_an_hour_is_not_a_peak(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("08:00:00"))
    await draw(time_lapse, 0, at("08:40:00"))
    time_lapse.interval = timedelta(seconds=10)
    await draw(time_lapse, 0, at("09:00:00"))
    limit = float(shown(time_lapse, K.DEMAND_LIMIT).state)
    expected = writes_of(time_lapse, K.PEAK_EXPECTED)
    await draw(time_lapse, 2200, at("09:03:00"))
    await draw(time_lapse, 0, at("09:20:00"))
    assert 1.4 < limit < 1.6
    assert {event.data["new_state"].state for event in expected} <= {"off"}


def writes_of(time_lapse: TimeLapse, key: K) -> list[Event[Any]]:
    """Return a list that gets every write of a sensor from now on, of the same value too."""
    entity_id = shown(time_lapse, key).entity_id
    written: list[Event[Any]] = []

    @callback
    def note(event: Event[Any]) -> None:
        written.append(event)

    @callback
    def is_it(data: Mapping[str, Any]) -> bool:
        return bool(data["entity_id"] == entity_id)

    for event in (EVENT_STATE_CHANGED, EVENT_STATE_REPORTED):
        time_lapse.hass.bus.async_listen(event, note, is_it)
    return written


async def test_demand_that_stands_still_is_written_once_a_minute(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:30:00"))
    written = writes_of(time_lapse, K.DEMAND)
    time_lapse.interval = timedelta(seconds=10)
    await draw(time_lapse, 1000, at("07:40:00"))
    assert 9 <= len(written) <= 11


async def test_demand_that_moves_by_little_of_it_is_written_once_a_minute(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 20_000, at("07:10:00"))
    time_lapse.interval = timedelta(seconds=10)
    await draw(time_lapse, 20_000, at("07:11:00"))
    written = writes_of(time_lapse, K.EXPECTED_DEMAND)
    for seconds in range(20, 601, 20):
        await draw(time_lapse, 20_600, at("07:11:00") + timedelta(seconds=seconds - 10))
        await draw(time_lapse, 20_000, at("07:11:00") + timedelta(seconds=seconds))
    assert 9 <= len(written) <= 11


async def test_demand_that_jumps_with_every_reading_is_written_every_ten_seconds(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:10:00"))
    time_lapse.interval = timedelta(seconds=2)
    await draw(time_lapse, 1000, at("07:11:00"))
    written = writes_of(time_lapse, K.EXPECTED_DEMAND)
    for seconds in range(60, 241, 60):
        await draw(time_lapse, 25_000, at("07:11:00") + timedelta(seconds=seconds))
    # The mean of the last minutes rises all the time, by less and less of it.
    assert 15 <= len(written) <= 25


async def test_interval_that_has_just_ended_has_all_that_was_heard_in_it(time_lapse: TimeLapse) -> None:
    time_lapse.options = {CONF_POWER_TARIFF: QUARTERS}
    await time_lapse.start()
    await draw(time_lapse, 1000, at("05:59:34"))
    time_lapse.interval = timedelta(seconds=2)
    await draw(time_lapse, 1000, at("05:59:55"))
    await draw(time_lapse, 20_000, at("06:00:00"))
    # Before the recorder has compiled anything of it.
    await draw(time_lapse, 1000, at("06:00:05"))
    telegrams = time_lapse.telegrams
    begin, end = (max(time for time in telegrams if time < at(each)) for each in ("05:45:00", "06:00:00"))
    power = (telegrams[end] - telegrams[begin]) / 250
    assert intervals(time_lapse) == [("10T06:45", pytest.approx(power, abs=0.005))]


@pytest.mark.parametrize("kind", ["off", "crashed", "deaf"])
async def test_restart_in_the_middle_of_an_hour_loses_nothing(time_lapse: TimeLapse, kind: str) -> None:
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


@pytest.mark.parametrize("kind", ["off", "crashed", "deaf"])
async def test_hours_that_the_reader_remembers_count_as_if_they_had_been_heard(
    time_lapse: TimeLapse, kind: str
) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:50:00"))
    await begin_outage(time_lapse, kind)
    await draw(time_lapse, 6000, at("09:00:00"))
    await draw(time_lapse, 3000, at("10:20:00"))
    await end_outage(time_lapse, kind)
    await draw(time_lapse, 0, at("12:05:00"))
    assert intervals(time_lapse) == [
        ("10T09:00", pytest.approx(counted(time_lapse, at("08:00:00")), abs=TOLERANCE)),
        ("10T10:00", pytest.approx(counted(time_lapse, at("09:00:00")), abs=TOLERANCE)),
    ]
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0


async def begin_outage(time_lapse: TimeLapse, kind: str) -> None:
    await {"off": time_lapse.stop, "crashed": time_lapse.crash, "deaf": time_lapse.be_deaf}[kind]()


async def end_outage(time_lapse: TimeLapse, kind: str) -> None:
    await (time_lapse.hear_again() if kind == "deaf" else time_lapse.start())


@pytest.mark.parametrize("kind", ["off", "crashed", "deaf"])
async def test_hours_that_nobody_knows_are_told_and_count_as_their_mean(
    time_lapse: TimeLapse, kind: str
) -> None:
    time_lapse.reader.stores_readings = False
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:50:00"))
    await begin_outage(time_lapse, kind)
    await draw(time_lapse, 6000, at("09:00:00"))
    await draw(time_lapse, 3000, at("10:20:00"))
    await end_outage(time_lapse, kind)
    await draw(time_lapse, 0, at("12:05:00"))
    truth = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
    mean = (truth[at("11:00:00")] - truth[at("07:00:00")]) / 4 / 1000
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(mean, abs=TOLERANCE)),
        ("10T09:00", pytest.approx(mean, abs=TOLERANCE)),
    ]
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 4


@pytest.mark.parametrize("kind", ["off", "deaf"])
async def test_hour_that_began_unheard_is_not_charged_with_what_was_used_before_it(
    time_lapse: TimeLapse, kind: str
) -> None:
    time_lapse.reader.stores_readings = False
    await time_lapse.start()
    await draw(time_lapse, 6000, at("06:40:00"))
    await begin_outage(time_lapse, kind)
    await draw(time_lapse, 6000, at("07:10:00"))
    await end_outage(time_lapse, kind)
    await draw(time_lapse, 6000, at("07:14:00"))
    demand = float(shown(time_lapse, K.DEMAND).state)
    # 6 kW, and what the house draws beside it. With all since 6:40, it would be more than twice as much.
    assert 6 < demand < 8


async def test_boundary_that_came_after_the_last_reading_but_before_the_next_one_is_known(
    time_lapse: TimeLapse,
) -> None:
    time_lapse.reader.stores_readings = False
    time_lapse.before_the_end = timedelta(seconds=30)
    await time_lapse.start()
    await draw(time_lapse, 1000, at("06:00:00"))
    # Half a minute after the last reading.
    await draw(time_lapse, 2000, at("07:00:00"))
    await time_lapse.be_deaf()
    await draw(time_lapse, 2000, at("09:20:00"))
    await time_lapse.hear_again()
    await draw(time_lapse, 1000, at("10:05:00"))
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 3


async def switch_on(time_lapse: TimeLapse) -> None:
    """Choose the option in a home that has a history."""
    time_lapse.options = {**time_lapse.options, CONF_POWER_TARIFF: HOURLY}
    time_lapse.hass.config_entries.async_update_entry(time_lapse.entry, options=time_lapse.options)
    await time_lapse.hass.config_entries.async_reload(time_lapse.entry.entry_id)
    await time_lapse.settle()


@pytest.mark.parametrize("stores", [True, False], ids=["stored", "not stored"])
async def test_history_from_before_the_option_counts_with_its_outages(
    time_lapse: TimeLapse, *, stores: bool
) -> None:
    time_lapse.options = {}
    time_lapse.reader.stores_readings = stores
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:50:00"))
    await begin_outage(time_lapse, "off")
    await draw(time_lapse, 6000, at("09:00:00"))
    await draw(time_lapse, 3000, at("10:20:00"))
    await end_outage(time_lapse, "off")
    await draw(time_lapse, 500, at("12:20:00"))
    await switch_on(time_lapse)
    await draw(time_lapse, 500, at("12:25:00"))
    truth = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
    if stores:
        expected = [counted(time_lapse, at("08:00:00")), counted(time_lapse, at("09:00:00"))]
    else:
        expected = [(truth[at("11:00:00")] - truth[at("07:00:00")]) / 4000] * 2
    assert [power for _, power in intervals(time_lapse)] == pytest.approx(expected, abs=TOLERANCE)
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == (0 if stores else 4)


@pytest.mark.parametrize("has_power", [True, False], ids=["power", "no power"])
async def test_hours_from_before_the_history_are_read_from_the_statistics(
    time_lapse: TimeLapse, *, has_power: bool
) -> None:
    time_lapse.has_recorder = True
    time_lapse.measurements |= {M.ACTIVE_POWER_NET} if has_power else set()
    time_lapse.options = {}
    time_lapse.reader.stores_readings = False
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:50:00"))
    await begin_outage(time_lapse, "off")
    await draw(time_lapse, 6000, at("10:20:00"))
    await end_outage(time_lapse, "off")
    await draw(time_lapse, 500, at("12:00:00"))
    await draw(time_lapse, 3000, at("13:00:00"))
    await draw(time_lapse, 500, at("14:20:00"))
    await time_lapse.stop()
    time_lapse.forget_registers()
    time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
    await time_lapse.start()
    await draw(time_lapse, 500, at("14:25:00"))
    if not has_power:
        # Without the power, an outage looks like a peak in the hour of the return.
        assert not intervals(time_lapse)
        return
    truth = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
    mean = (truth[at("11:00:00")] - truth[at("07:00:00")]) / 4000
    await until(lambda: len(intervals(time_lapse)) == 2)
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(mean, abs=TOLERANCE)),
        ("10T09:00", pytest.approx(mean, abs=TOLERANCE)),
    ]
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 4


async def test_bill_is_read_again_when_the_history_is_lost(time_lapse: TimeLapse) -> None:
    time_lapse.has_recorder = True
    time_lapse.measurements |= {M.ACTIVE_POWER_NET}
    time_lapse.reader.stores_readings = False
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:00:00"))
    await draw(time_lapse, 5000, at("08:00:00"))
    await draw(time_lapse, 2000, at("10:20:00"))
    await time_lapse.stop()
    time_lapse.forget_registers()
    await time_lapse.start()
    await draw(time_lapse, 2000, at("10:35:00"))
    highest = ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=TOLERANCE))
    await until(lambda: intervals(time_lapse)[:1] == [highest])


async def test_quarters_of_version_0_1_are_migrated(time_lapse: TimeLapse) -> None:
    time_lapse.has_recorder = True
    time_lapse.measurements |= {M.ACTIVE_POWER_NET}
    time_lapse.options = {CONF_POWER_TARIFF: QUARTERS}
    await time_lapse.start()
    await draw(time_lapse, 1000, at("06:30:00"))
    await draw(time_lapse, 7000, at("06:45:00"))
    await draw(time_lapse, 1000, at("08:20:00"))
    before = intervals(time_lapse)
    hours = await time_lapse.hours(M.ACTIVE_ENERGY_IMPORT)
    offset = hours[at("07:00:00")].sum - hours[at("07:00:00")].state
    history = time_lapse.entry.runtime_data.registers[M.ACTIVE_ENERGY_IMPORT]
    quarters = [[int(time.timestamp()), total + offset] for time, total in history.boundaries.items()]
    await time_lapse.stop()
    time_lapse.forget_registers()
    v0_1 = {"heard_until": None, "gaps": [], "exchanges": [], "quarters": quarters}
    time_lapse.store(".power_tariff", v0_1)
    await time_lapse.start()
    await draw(time_lapse, 1000, at("08:40:00"))
    await until(lambda: intervals(time_lapse) == before)
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] <= 1


async def test_energy_that_its_owner_renames_counts_on(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 3000, at("07:20:00"))
    er.async_get(time_lapse.hass).async_update_entity(
        time_lapse.sensor(M.ACTIVE_ENERGY_IMPORT), new_entity_id="sensor.grid"
    )
    await time_lapse.settle()
    await draw(time_lapse, 5000, at("08:05:00"))
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=TOLERANCE)),
        ("10T07:00", pytest.approx(counted(time_lapse, at("06:00:00")), abs=TOLERANCE)),
    ]


async def test_energy_that_its_owner_disables_for_a_while_makes_no_peak(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 3000, at("07:20:00"))
    registry, sensor = er.async_get(time_lapse.hass), time_lapse.sensor(M.ACTIVE_ENERGY_IMPORT)
    registry.async_update_entity(sensor, disabled_by=er.RegistryEntryDisabler.USER)
    await draw(time_lapse, 2000, at("09:20:00"))
    registry.async_update_entity(sensor, disabled_by=None)
    # Home Assistant reloads the entry by itself a while later.
    await draw(time_lapse, 2000, at("11:05:00"))
    assert max(power for _, power in intervals(time_lapse)) < 3.6
    assert dict(intervals(time_lapse))["10T07:00"] == pytest.approx(
        counted(time_lapse, at("06:00:00")), abs=TOLERANCE
    )


async def test_another_time_zone_has_other_days_and_hours(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 3000, at("07:20:00"))
    await time_lapse.hass.config.async_update(time_zone="Asia/Kolkata")
    await draw(time_lapse, 1000, at("08:05:00"))
    assert intervals(time_lapse)[0][0] == "10T11:30"


@pytest.mark.parametrize("register", [0, 12_345, 10_300_000, 90_000_000])
async def test_exchanged_meter_bills_no_peak(time_lapse: TimeLapse, register: int) -> None:
    await time_lapse.start()
    await draw(time_lapse, 2000, at("07:30:00"))
    old, _ = time_lapse.meter_registers
    time_lapse.reader.house.active_import = {1: float(register), 2: 0.0}
    await draw(time_lapse, 2000, at("09:05:00"))
    truth = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
    hour = (old - truth[at("07:00:00")] + truth[at("08:00:00")] - register) / 1000
    bill = dict(intervals(time_lapse))
    assert max(bill.values()) < 2.6
    # What the new meter counts until its first telegram is not known.
    assert sum(bill.values()) == pytest.approx(hour + counted(time_lapse, at("08:00:00")), abs=0.1)
    await time_lapse.stop()
    await time_lapse.live(minutes=2)
    await time_lapse.start()
    await draw(time_lapse, 0, at("10:02:00"))
    assert max(power for _, power in intervals(time_lapse)) < 2.6


async def test_meter_that_sends_its_registers_hourly_is_followed_by_its_power(time_lapse: TimeLapse) -> None:
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


async def test_month_begins_at_midnight_of_its_people(time_lapse: TimeLapse) -> None:
    time_lapse.reader.house.clock = at("20:30:00", day=30)
    await time_lapse.live(minutes=1)
    await time_lapse.start()
    await draw(time_lapse, 3000, at("22:00:00", day=30))
    await draw(time_lapse, 2000, at("23:05:00", day=30))
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"
    assert [time for time, _ in intervals(time_lapse, K.PREVIOUS_PEAK_DEMAND)] == ["30T22:00", "30T23:00"]
    await draw(time_lapse, 2000, datetime(2026, 12, 1, 0, 5, tzinfo=UTC))
    assert [time for time, _ in intervals(time_lapse)] == ["01T00:00"]


async def test_quarters_count_by_the_registers(time_lapse: TimeLapse) -> None:
    time_lapse.options = {CONF_POWER_TARIFF: QUARTERS}
    await time_lapse.start()
    await draw(time_lapse, 1000, at("06:30:00"))
    begin, _ = time_lapse.meter_registers
    await draw(time_lapse, 7000, at("06:45:00"))
    end, _ = time_lapse.meter_registers
    await draw(time_lapse, 1000, at("06:50:00"))
    ((time, power),) = intervals(time_lapse)
    assert time == "10T07:30"
    # The last telegram of a quarter came a minute before its end.
    assert power == pytest.approx((end - begin) / 1000 * 4, abs=8 / 15)
    await time_lapse.stop()
    await time_lapse.live(minutes=40)
    await time_lapse.start()
    await draw(time_lapse, 1000, at("08:20:00"))
    assert intervals(time_lapse) == [(time, power)]
    # The reader repeats the readings of an hour.
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0


async def test_hours_in_which_nothing_is_imported_are_not_missed_before_a_restart(
    time_lapse: TimeLapse,
) -> None:
    time_lapse.options = {CONF_POWER_TARIFF: QUARTERS}
    await time_lapse.start()
    await draw(time_lapse, 1000, at("06:20:00"))
    # The sun shines, and the import stands still.
    await draw(time_lapse, -5000, at("08:57:00"))
    await time_lapse.stop()
    await draw(time_lapse, -5000, at("09:01:00"))
    await time_lapse.start()
    await draw(time_lapse, 1000, at("10:20:00"))
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0


async def test_another_option_counts_the_month_anew_at_once(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 5000, at("07:00:00"))
    await draw(time_lapse, 1000, at("09:20:00"))
    assert len(intervals(time_lapse)) == 2
    assert await choose(time_lapse, peaks=1) is None
    await time_lapse.settle()
    assert len(intervals(time_lapse)) == 1


async def test_option_that_is_changed_in_the_middle_of_an_interval_loses_none_of_it(
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
    """Choose a tariff in the dialog of the options. Returns the key of the error, if there is one."""
    options = time_lapse.hass.config_entries.options
    flow = await options.async_init(time_lapse.entry.entry_id)
    data = {"write_interval": "0", "fill_missed_hours": True, "power_tariff": {**HOURLY, **tariff}}
    result = await options.async_configure(flow["flow_id"], data)
    await time_lapse.settle()
    return (result.get("errors") or {}).get(CONF_POWER_TARIFF)


async def test_quarters_are_not_forgotten_while_hours_are_chosen(time_lapse: TimeLapse) -> None:
    time_lapse.options = {CONF_POWER_TARIFF: QUARTERS}
    await time_lapse.start()
    await draw(time_lapse, 7000, at("06:45:00"))
    await draw(time_lapse, 1000, at("08:20:00"))
    before = intervals(time_lapse)
    await choose(time_lapse, interval="60", peaks=1)
    await draw(time_lapse, 1000, at("09:20:00"))
    assert [time for time, _ in intervals(time_lapse)] == ["10T07:00"]
    await choose(time_lapse, interval="15", peaks=1)
    assert intervals(time_lapse) == before


@pytest.mark.parametrize("hours", [3, -3, 0.2, -0.2])
async def test_clock_that_jumps_makes_no_peak(time_lapse: TimeLapse, hours: float) -> None:
    await time_lapse.start()
    await draw(time_lapse, 2000, at("07:05:00"))
    time_lapse.set_clock(timedelta(hours=hours))
    await draw(time_lapse, 2000, at("07:25:00"))
    time_lapse.set_clock(timedelta())
    await draw(time_lapse, 2000, at("07:40:00"))
    # 2.4 kW, or less where some of it went to the hour that was by the wrong clock.
    assert 1.7 < float(shown(time_lapse, K.DEMAND).state) < 2.6
    await draw(time_lapse, 2000, at("12:30:00"))
    begin, (now, _) = time_lapse.truth[M.ACTIVE_ENERGY_IMPORT][at("12:00:00")], time_lapse.meter_registers
    assert float(shown(time_lapse, K.DEMAND).state) == pytest.approx((now - begin) / 1000 * 2, abs=0.1)
    assert max(power for _, power in intervals(time_lapse)) < 2.6
    assert shown(time_lapse, K.PEAK_EXPECTED).attributes["interval_end"] == "2026-11-10T14:00:00+01:00"


@pytest.mark.parametrize("register", [0, 5_000_000])
async def test_register_that_falls_for_a_moment_is_no_other_meter(
    time_lapse: TimeLapse, register: int
) -> None:
    await time_lapse.start()
    await draw(time_lapse, 2000, at("07:30:00"))
    house = time_lapse.reader.house
    true, house.active_import = house.active_import, {1: float(register), 2: 0.0}
    await draw(time_lapse, 2000, at("07:34:00"))
    house.active_import = {1: true[1] + 2500 * 4 / 60, 2: true[2]}
    await draw(time_lapse, 2000, at("08:05:00"))
    expected = counted(time_lapse, at("07:00:00"))
    assert dict(intervals(time_lapse))["10T08:00"] == pytest.approx(expected, abs=TOLERANCE)


async def test_entities_are_gone_when_the_option_is_off(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 5000, at("07:00:00"))
    await choose(time_lapse, enabled=False)
    assert not any(
        entity_id(time_lapse.hass, platform, f"{time_lapse.reader.device_id}_{key}")
        for platform in ("sensor", "binary_sensor")
        for key in K
    )
    await choose(time_lapse, enabled=True)
    await draw(time_lapse, 5000, at("07:05:00"))
    assert intervals(time_lapse)


async def test_report_tells_settings_and_peaks(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await draw(time_lapse, 3000, at("07:00:00"))
    await draw(time_lapse, 5000, at("08:05:00"))
    report = await async_get_config_entry_diagnostics(time_lapse.hass, time_lapse.entry)
    assert report["entry"]["options"][CONF_POWER_TARIFF] == HOURLY
    month = report["power_tariff"]["months"]["2026-11"]
    assert [start for start, _ in month["peaks"]] == [
        "2026-11-10T07:00:00+00:00",
        "2026-11-10T06:00:00+00:00",
    ]
    assert month["missed"] == 0
    assert time_lapse.reader.device_id not in json.dumps(report["power_tariff"])
