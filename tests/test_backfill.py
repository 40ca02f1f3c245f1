"""Hours in the Energy dashboard after outages, with a real recorder on real databases."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from functools import partial
import logging
from pathlib import Path
import re
from typing import NamedTuple

from homeassistant.components.recorder.history import get_significant_states
from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.core import State
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.recorder import get_instance
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, DOMAIN
from custom_components.energy_sse.reader import Measurement as M

from . import databases
from .conftest import MakeTimeLapse
from .simulators.house import ZURICH
from .simulators.household import Household
from .time_lapse import HOUR, REGISTERS, TimeLapse
from .wait import wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "statistics.py",
        "registers.py",
        "histories.py",
        "wall_clock.py",
        "coordinator.py",
        "store.py",
        "readings.py",
        "reader/validation.py",
        "tests/time_lapse.py",
    ),
]

IMPORT, EXPORT = REGISTERS

# Hours whose registers a reader stores.
STORED_HOURS = 64

FILLED = re.compile(r"Corrected the statistics of (\d+) hours")


@pytest.fixture
async def time_lapse(
    make_time_lapse: MakeTimeLapse, database: str, caplog: pytest.LogCaptureFixture
) -> AsyncGenerator[TimeLapse]:
    """Return a home in simulated time. No entity id is logged."""
    caplog.set_level(logging.INFO, "custom_components.energy_sse.reader")
    # The last level is that of `caplog`, too.
    caplog.set_level(logging.DEBUG, "custom_components.energy_sse")
    async with make_time_lapse(database) as time_lapse:
        yield time_lapse
    ours = [
        each for each in caplog.get_records("call") if each.name.startswith("custom_components.energy_sse")
    ]
    assert [record.getMessage() for record in ours if "sensor." in record.getMessage()] == []


def at(time: str, day: int = 10) -> datetime:
    """Return a time of November 2026."""
    return datetime.fromisoformat(f"2026-11-{day}T{time}+00:00")


async def outage(
    time_lapse: TimeLapse, kind: str, begin: datetime, end: datetime, *, clock_error: timedelta = timedelta()
) -> None:
    """Run until an outage and through it. The clock can be wrong after it."""
    await time_lapse.run_until(begin)
    match kind:
        case "off":
            await time_lapse.stop()
        case "crashed":
            await time_lapse.crash()
        case "disconnected":
            await time_lapse.disconnect_reader()
    await time_lapse.run_until(end)
    if clock_error:
        time_lapse.set_clock(clock_error)
    await (time_lapse.reconnect_reader() if kind == "disconnected" else time_lapse.start())


class Errors(NamedTuple):
    """Largest differences between hours and the meter, in Wh."""

    missed: float
    """Hours without a telegram at either end."""

    edges: float
    """Hours with a telegram at one end: the energy between the last telegram and the end of the hour."""


async def check_hours(time_lapse: TimeLapse, first: datetime, last: datetime | None = None) -> Errors:
    """Compare the hours from one to another, or to the last one that is over, with the meter.

    A received hour has to end with the register of the last telegram, or between it and the register of the
    next telegram. Every other hour has to end with the meter's register.
    """
    errors = Errors(0.0, 0.0)
    # Wh. The power changes between two telegrams.
    interpolation = 10 if time_lapse.before_the_end > timedelta(seconds=1) else 1e-3
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        received = time_lapse.received[register]
        over = [end for end in sorted(truth) if time_lapse.now >= end + timedelta(minutes=1)]
        for end in over:
            begin = end - HOUR
            if begin < first or (last is not None and begin > last):
                continue
            hour = hours[begin]
            # After a power failure, the register of the reader may have replaced that of the last telegram.
            shown = hour.state - (hours[begin - HOUR].state if begin - HOUR in hours else truth[begin])
            assert received.get(end, truth[end]) - 1e-3 <= hour.state, (register, begin)
            assert hour.state <= truth[end] + interpolation, (register, begin)
            assert hour.change == pytest.approx(shown, abs=1e-3), (register, begin)
            error = abs(hour.change - (truth[end] - truth[begin]))
            match (begin in received, end in received):
                case (False, False):
                    errors = errors._replace(missed=max(errors.missed, error))
                case (True, False) | (False, True):
                    errors = errors._replace(edges=max(errors.edges, error))
    return errors


async def snapshot(time_lapse: TimeLapse) -> list[object]:
    """Return all hours of all registers."""
    return [await time_lapse.hours(register) for register in REGISTERS]


def rows_written(caplog: pytest.LogCaptureFixture) -> int:
    return sum(int(found[1]) for message in caplog.messages if (found := FILLED.match(message)))


def skipped_corrections(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "not corrected" in message]


async def run_past_hours(time_lapse: TimeLapse, number: int) -> None:
    """Run until two minutes after some more hours have ended."""
    await time_lapse.run_until(time_lapse.now.replace(minute=2, second=0) + number * HOUR)


# ------------------------------------------------------------------------------------------------ outages


async def run_without_corrections(
    time_lapse: TimeLapse, kind: str, begin: datetime, end: datetime
) -> tuple[int, float, int]:
    """Run through an outage without corrections.

    Return the number of hours that show zero in spite of an export, and two energies in Wh: of the first hour
    after the outage, and exported since the outage began.
    """
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    await time_lapse.start()
    await time_lapse.run_until(begin)
    _, exported_before = time_lapse.meter_registers
    await outage(time_lapse, kind, begin, end)
    await run_past_hours(time_lapse, 1)
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    returned = end.replace(minute=0, second=0)
    counted = {over - HOUR: truth[over] - truth[over - HOUR] for over in truth if over - HOUR in truth}
    at_zero = [
        hour
        for hour, energy in counted.items()
        if begin < hour < returned and energy and (hour not in hours or not hours[hour].change)
    ]
    return len(at_zero), hours[returned].change, truth[returned + HOUR] - exported_before


class Outage(NamedTuple):
    """Outage of Home Assistant or of its connection."""

    kind: str
    begin: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.kind} {self.begin:%H:%M:%S} for {self.end - self.begin}"


OUTAGES = [
    Outage("off", at("07:57:20"), at("11:11:20")),
    Outage("crashed", at("08:00:06"), at("11:00:03")),
    Outage("disconnected", at("07:31:00"), at("11:04:58")),
    Outage("off", at("07:58:02"), at("10:59:52")),
    Outage("crashed", at("08:59:40"), at("14:59:58", day=11)),
    Outage("disconnected", at("08:00:01"), at("14:00:09", day=11)),
    Outage("disconnected", at("08:04:00"), at("23:00:20", day=12)),
    Outage("off", at("07:57:59"), at("22:59:30", day=12)),
    Outage("crashed", at("08:30:00"), at("23:30:00", day=12)),
    Outage("off", at("08:59:00"), at("07:00:05", day=13)),
    Outage("disconnected", at("08:20:00"), at("06:20:00", day=13)),
    Outage("crashed", at("08:01:10"), at("06:01:00", day=13)),
]


# On database servers, only the first two run each time. The other ones execute the same statements.
@pytest.mark.parametrize(
    ("database", "case"),
    [
        pytest.param(name, case, marks=marks, id=f"{name}-{case}")
        for index, case in enumerate(OUTAGES)
        for name, marks in databases.marks_of_each(weekly=index >= 2).items()
    ],
    indirect=["database"],
)
async def test_every_hour_of_an_outage_shows_its_energy(
    time_lapse: TimeLapse,
    caplog: pytest.LogCaptureFixture,
    case: Outage,
    make_time_lapse: MakeTimeLapse,
    statistics_table: list[tuple[str, ...]] | None,
) -> None:
    await time_lapse.start()
    await outage(time_lapse, *case)
    await run_past_hours(time_lapse, 2)
    # The energy of hours that the reader does not store any more is in the last one of these.
    first_full_hour = case.end.replace(minute=0, second=0) - (STORED_HOURS - 1) * HOUR
    covered = max(case.begin.replace(minute=0, second=0), first_full_hour)
    await check_hours(time_lapse, at("06:00:00"), case.begin - HOUR)
    errors = await check_hours(time_lapse, covered)
    assert errors.missed < 1e-3
    assert not skipped_corrections(caplog)

    # A second run changes nothing.
    shown, written = await snapshot(time_lapse), rows_written(caplog)
    await time_lapse.stop()
    await time_lapse.start()
    await time_lapse.run_for(minutes=15)
    assert await snapshot(time_lapse) == shown
    again = rows_written(caplog) - written
    assert again == 0

    if statistics_table is not None:
        await time_lapse.stop()
        async with make_time_lapse(None) as other:
            at_zero, returned, _ = await run_without_corrections(other, *case)
        lasted, without = case.end - case.begin, f"{returned / 1000:.1f} kWh"
        row = (case.kind, f"{case.begin:%H:%M:%S}", lasted, written, *(f"{error:.3f} Wh" for error in errors))
        statistics_table.append(tuple(map(str, (*row, again, at_zero, without))))


async def test_first_hour_has_all_energy_without_corrections(time_lapse: TimeLapse) -> None:
    at_zero, returned, missed = await run_without_corrections(
        time_lapse, "disconnected", at("07:57:20"), at("11:11:20")
    )
    assert at_zero == 3
    assert returned == pytest.approx(missed, rel=0.02)


@pytest.mark.parametrize("fills", [True, False], ids=["with", "without"])
async def test_day_is_right_with_an_outage_of_eight_hours(
    make_time_lapse: MakeTimeLapse,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    request: pytest.FixtureRequest,
    *,
    fills: bool,
) -> None:
    yesterday, folder = at("00:00:00"), pytestconfig.getoption("--keep-days")
    if folder:
        # The Energy dashboard in the pictures shows yesterday, in local time.
        midnight = datetime.now(ZURICH).replace(hour=0, minute=0, second=0, microsecond=0)
        yesterday = (midnight - timedelta(days=1)).astimezone(UTC)
    database = Path(folder or tmp_path) / f"{request.node.callspec.id}.db"
    async with make_time_lapse(f"sqlite:///{database}") as time_lapse:
        time_lapse.options = {CONF_FILL_MISSED_HOURS: fills}
        time_lapse.reader.house = Household(clock=yesterday - 3 * HOUR, solar_peak=0.0)
        await time_lapse.run_for(minutes=1)
        await time_lapse.start()
        begin = yesterday + timedelta(hours=6, minutes=40)
        await outage(time_lapse, "off", begin, begin + timedelta(hours=8))
        await time_lapse.run_until(yesterday + timedelta(hours=23, minutes=30))
        hours = await time_lapse.hours(IMPORT)
        if fills:
            await check_hours(time_lapse, yesterday)
        else:
            missed = [hours[yesterday + hour * HOUR].change for hour in range(6, 14)]
            assert missed == [missed[0], *[0] * 7]
            assert hours[yesterday + 14 * HOUR].change > 1000


@pytest.mark.smoke
async def test_hours_are_corrected_within_a_minute(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await time_lapse.run_for(seconds=60)
    await wait_until(lambda: rows_written(caplog))
    await time_lapse.settle()
    await check_hours(time_lapse, at("06:00:00"), at("10:00:00"))


async def test_option_corrects_hours_of_several_outages(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("09:11:20"))
    await outage(time_lapse, "disconnected", at("10:50:00"), at("12:11:20"))
    await run_past_hours(time_lapse, 1)
    time_lapse.options = {}
    await time_lapse.stop()
    await time_lapse.start()
    # Until the first reading, but not until the recorder has compiled the next five minutes.
    await time_lapse.run_for(minutes=2, seconds=30)
    await wait_until(lambda: rows_written(caplog) >= 4)
    await time_lapse.settle()
    await check_hours(time_lapse, at("06:00:00"))


@pytest.mark.parametrize(
    "begin", [datetime(2026, 10, 24, 13, 57, 20, tzinfo=UTC), datetime(2027, 3, 27, 13, 57, 20, tzinfo=UTC)]
)
async def test_hours_are_right_when_summer_time_changes(time_lapse: TimeLapse, begin: datetime) -> None:
    time_lapse.reader.house.clock = begin - 2 * HOUR
    await time_lapse.run_for(minutes=1)
    await time_lapse.start()
    await outage(time_lapse, "off", begin, begin + 23 * HOUR)
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, begin.replace(minute=0, second=0) - HOUR)


@pytest.mark.parametrize(
    ("unit", "time_zone"), [("Wh", "Europe/Stockholm"), ("MWh", "Asia/Kolkata"), ("GJ", "America/St_Johns")]
)
@databases.on_each_weekly
async def test_hours_have_the_chosen_unit(time_lapse: TimeLapse, unit: str, time_zone: str) -> None:
    time_lapse.unit, time_lapse.time_zone = unit, time_zone
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


@databases.on_each_weekly
async def test_statistics_keep_their_unit_when_the_sensor_has_another(time_lapse: TimeLapse) -> None:
    time_lapse.unit = "kWh"
    await time_lapse.start()
    await time_lapse.run_until(at("07:20:00"))
    await time_lapse.stop()
    time_lapse.unit = "MWh"
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


async def test_hours_are_right_after_a_restart_in_an_outage(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("09:20:00"))
    await time_lapse.stop()
    await time_lapse.disconnect_reader()
    await time_lapse.start()
    await outage(time_lapse, "off", at("09:55:00"), at("10:20:00"))
    await time_lapse.run_until(at("11:07:00"))
    await time_lapse.reconnect_reader()
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


# --------------------------------------------------------------------------------------------- first day


@databases.on_each_weekly
async def test_first_day_shows_the_stored_hours(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.run_until(at("14:35:00", day=13))
    await time_lapse.start()
    await time_lapse.run_for(minutes=7)
    await wait_until(lambda: rows_written(caplog) >= 2 * (STORED_HOURS - 1))
    await time_lapse.settle()
    oldest = at("14:00:00", day=13) - (STORED_HOURS - 1) * HOUR
    for register in REGISTERS:
        hours = await time_lapse.hours(register)
        assert min(hours) == oldest
        assert max(hours) == at("13:00:00", day=13)
    assert (await check_hours(time_lapse, oldest)).missed < 1e-3

    # The reader was added in the middle of its first hour.
    await time_lapse.run_until(at("17:05:00", day=13))
    await check_hours(time_lapse, oldest)
    shown = await snapshot(time_lapse)
    await time_lapse.stop()
    await time_lapse.start()
    await time_lapse.run_for(minutes=15)
    assert await snapshot(time_lapse) == shown
    assert not skipped_corrections(caplog)


@pytest.mark.parametrize(
    ("kind", "begin", "end"),
    [
        ("off", "14:50:00", "18:10:00"),
        ("disconnected", "14:50:00", "18:10:00"),
        # The reader was just added.
        ("off", "14:37:00", "15:03:00"),
    ],
)
async def test_hours_are_right_after_an_outage_on_the_first_day(
    time_lapse: TimeLapse, kind: str, begin: str, end: str
) -> None:
    await time_lapse.run_until(at("14:35:00"))
    await time_lapse.start()
    await outage(time_lapse, kind, at(begin), at(end))
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


# -------------------------------------------------------------------------- hours that are not corrected


async def test_hours_are_right_when_the_meter_is_replaced(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    await time_lapse.stop()
    await time_lapse.run_until(at("09:30:00"))
    time_lapse.reader.house.active_import = {1: 12.0, 2: 0.0}
    time_lapse.reader.house.active_export = {1: 3.0, 2: 0.0}
    await time_lapse.run_until(at("11:11:20"))
    await time_lapse.start()
    await run_past_hours(time_lapse, 2)
    assert rows_written(caplog) == 0
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        assert [hours[at(f"{hour:02}:00:00")].change for hour in (8, 9, 10)] == [0, 0, 0]
        # The energy that the new meter has counted before the return is not in this hour.
        counted = truth[at("12:00:00")] - truth[at("11:00:00")]
        assert 0 <= hours[at("11:00:00")].change <= counted + 50


async def test_sums_of_the_user_are_kept(time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture) -> None:
    await time_lapse.start()
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await run_past_hours(time_lapse, 1)
    get_instance(time_lapse.hass).async_adjust_statistics(
        time_lapse.sensor(EXPORT), at("09:00:00"), 1.5, "kWh"
    )
    await time_lapse.stop()
    time_lapse.options = {}
    await time_lapse.start()
    before = await time_lapse.hours(EXPORT)
    await time_lapse.run_for(minutes=15)
    await wait_until(lambda: skipped_corrections(caplog))
    await time_lapse.settle()
    assert await time_lapse.hours(EXPORT) == before


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("error", [timedelta(minutes=10), -timedelta(minutes=5), -HOUR], ids=str)
async def test_hours_of_a_wrong_reader_clock_are_ignored(
    time_lapse: TimeLapse, error: timedelta, *, restarts: bool
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    time_lapse.reader.clock_error = error
    await outage(time_lapse, "off", time_lapse.now, at("11:11:20"))
    await time_lapse.run_until(at("11:50:00"))
    (issue,) = ir.async_get(time_lapse.hass).issues.values()
    assert issue.translation_key == "reader_clock_wrong"
    if restarts:
        await time_lapse.stop()
    time_lapse.reader.clock_error = timedelta()
    if restarts:
        await time_lapse.start()
    await run_past_hours(time_lapse, 2)
    assert not ir.async_get(time_lapse.hass).issues
    # The reader repeats the hours of the wrong clock.
    await outage(time_lapse, "disconnected", time_lapse.now, time_lapse.now + timedelta(minutes=15))
    await run_past_hours(time_lapse, 1)
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    assert hours[at("07:00:00")].state == pytest.approx(truth[at("08:00:00")], abs=200)
    for hour in (at("08:00:00"), at("09:00:00")):
        assert hour not in hours or hours[hour].change == 0
    await check_hours(time_lapse, at("11:00:00"))


# The other register counts at that time.
@pytest.mark.parametrize(
    ("key", "register", "hour"), [("Wh", IMPORT, at("09:00:00")), ("Ph", EXPORT, at("18:00:00"))]
)
async def test_zeros_are_a_gap_of_their_register_only(
    time_lapse: TimeLapse, key: str, register: M, hour: datetime
) -> None:
    time_lapse.before_the_end = timedelta(seconds=90)
    await time_lapse.start()
    await time_lapse.run_until(hour - timedelta(minutes=9))
    # Four times, which is not enough for a meter replacement.
    time_lapse.reader.overrides = {key: 0}
    await time_lapse.run_until(hour - timedelta(minutes=1))
    time_lapse.reader.overrides = {}
    await run_past_hours(time_lapse, 2)
    del time_lapse.received[register][hour]
    await check_hours(time_lapse, at("06:00:00"))


async def test_unknown_hours_are_not_corrected(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    await time_lapse.stop()
    await time_lapse.run_until(at("09:30:00"))
    time_lapse.reader.meter_is_connected = False
    await time_lapse.run_until(at("11:30:00"))
    time_lapse.reader.meter_is_connected = True
    await time_lapse.run_until(at("13:11:20"))
    await time_lapse.start()
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"), at("08:00:00"))
    await check_hours(time_lapse, at("12:00:00"))
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        # The energy of the three unknown hours is in the last one.
        assert hours[at("09:00:00")].change == hours[at("10:00:00")].change == 0
        unknown = truth[at("12:00:00")] - truth[at("09:00:00")]
        assert hours[at("11:00:00")].change == pytest.approx(unknown)


# ------------------------------------------------------------------------------------------- the recorder


async def test_hours_are_corrected_after_a_backup(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await outage(time_lapse, "disconnected", at("07:57:20"), at("11:11:20"))
    instance = get_instance(time_lapse.hass)
    assert await instance.lock_database()
    # The recorder cannot be settled while it is locked.
    time_lapse.recorder_is_locked = True
    await time_lapse.run_for(minutes=3)
    assert instance.unlock_database()
    time_lapse.recorder_is_locked = False
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


@databases.on_each_weekly
async def test_hours_are_corrected_after_a_purge(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("14:11:20", day=11))
    await time_lapse.hass.services.async_call(
        "recorder", "purge", {"keep_days": 1, "repack": True}, blocking=True
    )
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"), at("06:00:00"))
    await check_hours(time_lapse, at("15:00:00", day=11))
    # The states are not needed for hours that the reader stores.
    await check_hours(time_lapse, at("15:00:00") + HOUR * 8)


async def test_database_error_is_not_logged_as_an_error(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    instance = get_instance(time_lapse.hass)

    def rename(old: str, new: str) -> None:
        assert instance.engine is not None
        with instance.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    await instance.async_add_executor_job(rename, "statistics", "statistics_away")
    await time_lapse.run_for(minutes=1)
    await wait_until(lambda: skipped_corrections(caplog))
    await instance.async_add_executor_job(rename, "statistics_away", "statistics")
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


@databases.on_each
async def test_database_stores_any_name_of_an_appliance(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("05:50:00"))
    texts = (
        "a\\u0000b",
        "half \\ud83d",
        "n" * 20_000,
        "\\ud83d\\udca1",
        "two\\r\\nlines",
        "'; DROP TABLE states",
    )
    for n, text in enumerate(texts):
        names = f'"id":"{n}","bs":"ON","sName":"{text}","from":"before","dName":"{text}","cat":"{text}"'
        await time_lapse.reader.broadcast(f"event: transition\ndata: {{{names}}}\n\n".encode())
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    ids = time_lapse.hass.states.async_entity_ids("event")
    assert len(ids) == len(texts)
    history = await get_instance(time_lapse.hass).async_add_executor_job(
        partial(get_significant_states, time_lapse.hass, at("05:00:00"), entity_ids=ids)
    )
    assert len(history) == len(texts)
    stored = [states[-1].attributes["state"] for states in history.values() if isinstance(states[-1], State)]
    assert set(stored) >= {"a b", "n" * 255, "\N{ELECTRIC LIGHT BULB}"}


async def test_sensor_keeps_its_hours_when_it_is_excluded(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("08:03:00"), at("08:05:00"))
    await time_lapse.stop()
    time_lapse.recorder_options = {"exclude": {"entity_globs": "sensor.*export"}}
    await time_lapse.start()
    await outage(time_lapse, "disconnected", at("08:20:00"), at("11:11:20"))
    await run_past_hours(time_lapse, 1)
    assert max(await time_lapse.hours(EXPORT)) == at("08:00:00")
    assert max(await time_lapse.hours(IMPORT)) == at("11:00:00")


async def test_hourly_register_counts_in_the_hour_that_ended(
    time_lapse: TimeLapse,
) -> None:
    time_lapse.reader.sends_registers_hourly = True
    await time_lapse.start()
    await time_lapse.run_until(at("12:05:00"))
    assert (await check_hours(time_lapse, at("06:00:00"))).missed < 1e-3


# ------------------------------------------------------------------------------------ repair of sums


@databases.on_each_weekly
async def test_reset_sum_is_raised_when_the_user_confirms(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    # One day, instead of the default of ten.
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    assert await async_setup_component(time_lapse.hass, "repairs", {})
    await outage(time_lapse, "disconnected", at("12:20:00"), at("06:20:00", day=13))
    await run_past_hours(time_lapse, 2)
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    assert rows_written(caplog) == 0
    back = hours[at("06:00:00", day=13)]
    assert back.change < -10_000

    issues = {
        str(issue.translation_placeholders["sensor"]): issue
        for issue in ir.async_get(time_lapse.hass).issues.values()
        if issue.translation_placeholders
    }
    assert set(issues) == {time_lapse.sensor(register) for register in REGISTERS}
    counted = (back.state - hours[at("12:00:00")].state) / 1000
    assert issues[time_lapse.sensor(EXPORT)].translation_placeholders == {
        "name": "Meter",
        "host": time_lapse.reader.host,
        "url": f"http://{time_lapse.reader.host}",
        "sensor": time_lapse.sensor(EXPORT),
        "last_reading": "2026-11-10 14:00",
        "first_reading": "2026-11-13 07:00",
        "shown": f"{back.change / 1000:.2f} kWh",
        "counted": f"{counted:.2f} kWh",
        "raise_by": f"{counted - back.change / 1000:.2f} kWh",
    }
    flows = time_lapse.hass.data[REPAIRS]["flow_manager"]
    for issue in issues.values():
        form = await flows.async_init(DOMAIN, data={"issue_id": issue.issue_id})
        assert form["type"] is FlowResultType.FORM
        assert form["step_id"] == "confirm"
        assert form["description_placeholders"] == issue.translation_placeholders
        done = await flows.async_configure(form["flow_id"], {})
        assert done["type"] is FlowResultType.CREATE_ENTRY

    # Each hour that the reader stores gets its own energy.
    await time_lapse.run_for(minutes=1)
    await wait_until(lambda: rows_written(caplog) >= 2 * (STORED_HOURS - 1))
    await time_lapse.settle()
    await check_hours(time_lapse, at("06:00:00", day=13) - (STORED_HOURS - 1) * HOUR)
    hours = await time_lapse.hours(EXPORT)
    first, *others = hours.values()
    total = truth[at("08:00:00", day=13)] - first.state
    assert sum(hour.change for hour in others) == pytest.approx(total, abs=3)
    assert not ir.async_get(time_lapse.hass).issues


# ------------------------------------------------------------------------------------------- wrong clock


@pytest.mark.parametrize(
    "error",
    [
        # The clock continued from the time of the power failure.
        pytest.param(timedelta(hours=-3, minutes=-14), id="stopped"),
        pytest.param(timedelta(hours=2), id="hours ahead"),
        pytest.param(timedelta(days=-20_000), id="years behind"),
    ],
)
async def test_no_energy_is_lost_when_the_clock_is_wrong(time_lapse: TimeLapse, error: timedelta) -> None:
    # The recorder compiles all five minutes that it has missed, for as many days as it keeps.
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"), clock_error=error)
    await time_lapse.run_for(minutes=7)
    # A time server sets the clock.
    time_lapse.set_clock(timedelta())
    await time_lapse.run_until(at("14:02:00"))
    if error < timedelta(days=-1):
        await check_hours(time_lapse, at("06:00:00"))
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        assert all(hour.change >= -1e-3 for hour in hours.values())
        begin, end = at("06:00:00"), at("14:00:00")
        counted = sum(hour.change for start, hour in hours.items() if begin <= start < end)
        assert counted == pytest.approx(truth[end] - truth[begin], abs=3)
