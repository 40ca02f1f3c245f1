"""What the Energy dashboard shows of hours that nobody heard, with a real recorder on real databases."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from functools import partial
import logging
from pathlib import Path
import re
from typing import NamedTuple

from homeassistant.components.recorder.history import get_significant_states
from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.core import HomeAssistant, State
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.recorder import get_instance
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, DOMAIN
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.sum_reset import async_raise_sums

from . import databases
from .conftest import MakeTimeLapse
from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator
from .time_lapse import HOUR, REGISTERS, TimeLapse
from .wait import wait_until

# On a busy machine three days of it take half a minute.
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "statistics.py",
        "registers.py",
        "wall_clock.py",
        "coordinator.py",
        "store.py",
        "readings.py",
        "reader/validation.py",
        "tests/time_lapse.py",
    ),
]

IMPORT, EXPORT = REGISTERS

# Full hours that a reader remembers.
REMEMBERED = 64

FILLED = re.compile(r"Corrected the statistics of (\d+) hours")


@pytest.fixture
async def time_lapse(
    make_time_lapse: MakeTimeLapse, database: str, caplog: pytest.LogCaptureFixture
) -> AsyncGenerator[TimeLapse]:
    """Return days of a house. No entity id is logged."""
    caplog.set_level(logging.DEBUG, "custom_components.energy_sse.statistics")
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
    """Live until an outage, and through it; the clock may be wrong after it."""
    await time_lapse.run_until(begin)
    match kind:
        case "off":
            await time_lapse.stop()
        case "crashed":
            await time_lapse.crash()
        case "deaf":
            await time_lapse.disconnect_reader()
    await time_lapse.run_until(end)
    if clock_error:
        time_lapse.set_clock(clock_error)
    await (time_lapse.reconnect_reader() if kind == "deaf" else time_lapse.start())


class Errors(NamedTuple):
    """The largest errors of the energy that hours show against the meter, in Wh."""

    missed: float
    """Of hours that nobody heard at either end."""

    edges: float
    """Of hours heard at one end: what the house used between the last telegram and the full hour."""


async def check_hours(time_lapse: TimeLapse, first: datetime, last: datetime | None = None) -> Errors:
    """Hold the hours from one to another, or to the last that is over, against the meter.

    An hour that was received has to end with the last telegram, as the recorder has made it, or between it
    and the next telegram. Every other one has to end with the meter's register.
    """
    errors = Errors(0.0, 0.0)
    # Wh. The power changes between two telegrams.
    interpolation = 10 if time_lapse.before_the_end > timedelta(seconds=1) else 1e-3
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        heard = time_lapse.heard[register]
        over = [end for end in sorted(truth) if time_lapse.now >= end + timedelta(minutes=1)]
        for end in over:
            begin = end - HOUR
            if begin < first or (last is not None and begin > last):
                continue
            hour = hours[begin]
            # After a power failure, the register of the reader may have replaced that of the last telegram.
            shown = hour.state - (hours[begin - HOUR].state if begin - HOUR in hours else truth[begin])
            assert heard.get(end, truth[end]) - 1e-3 <= hour.state, (register, begin)
            assert hour.state <= truth[end] + interpolation, (register, begin)
            assert hour.change == pytest.approx(shown, abs=1e-3), (register, begin)
            error = abs(hour.change - (truth[end] - truth[begin]))
            match (begin in heard, end in heard):
                case (False, False):
                    errors = errors._replace(missed=max(errors.missed, error))
                case (True, False) | (False, True):
                    errors = errors._replace(edges=max(errors.edges, error))
    return errors


async def heard_rows_changed(time_lapse: TimeLapse) -> int:
    """Count the hours that were heard and do not end with what was heard last."""
    changed = 0
    for register in REGISTERS:
        hours = await time_lapse.hours(register)
        heard = {
            end - HOUR: value for end, value in time_lapse.heard[register].items() if end - HOUR in hours
        }
        truth = time_lapse.truth[register]
        changed += sum(
            not value - 1e-3 <= hours[begin].state <= truth[begin + HOUR] + 1e-3
            for begin, value in heard.items()
        )
    return changed


async def snapshot(time_lapse: TimeLapse) -> list[object]:
    """Return all that is shown."""
    return [await time_lapse.hours(register) for register in REGISTERS]


def rows_written(caplog: pytest.LogCaptureFixture) -> int:
    return sum(int(found[1]) for message in caplog.messages if (found := FILLED.match(message)))


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "not corrected" in message]


async def live_past_full_hours(time_lapse: TimeLapse, number: int) -> None:
    """Live until shortly after some more full hours."""
    await time_lapse.run_until(time_lapse.now.replace(minute=2, second=0) + number * HOUR)


# ------------------------------------------------------------------------------------------- the problem


@pytest.mark.parametrize("kind", ["off", "crashed", "deaf"])
async def test_first_hour_has_all_energy_without_corrections(time_lapse: TimeLapse, kind: str) -> None:
    at_zero, returned, missed = await live_without_filling(time_lapse, kind, at("07:57:20"), at("11:11:20"))
    assert at_zero == 3
    assert returned == pytest.approx(missed, rel=0.02)


async def live_without_filling(
    time_lapse: TimeLapse, kind: str, begin: datetime, end: datetime
) -> tuple[int, float, int]:
    """Live through an outage as without this part of the integration.

    Returns how many hours in which something was exported show nothing, what the hour of the return shows,
    and what was exported since the outage began, both in Wh.
    """
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    await time_lapse.start()
    await time_lapse.run_until(begin)
    _, exported_before = time_lapse.meter_registers
    await outage(time_lapse, kind, begin, end)
    await live_past_full_hours(time_lapse, 1)
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    returned = end.replace(minute=0, second=0)
    counted = {over - HOUR: truth[over] - truth[over - HOUR] for over in truth if over - HOUR in truth}
    at_zero = [
        hour
        for hour, energy in counted.items()
        if begin < hour < returned and energy and (hour not in hours or not hours[hour].change)
    ]
    return len(at_zero), hours[returned].change, truth[returned + HOUR] - exported_before


# ------------------------------------------------------------------------------------------------ outages


class Outage(NamedTuple):
    """What happened to Home Assistant, and when."""

    kind: str
    begin: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.kind} {self.begin:%H:%M:%S} for {self.end - self.begin}"


OUTAGES = [
    Outage("off", at("07:57:20"), at("11:11:20")),
    Outage("crashed", at("08:00:06"), at("11:00:03")),
    Outage("deaf", at("07:31:00"), at("11:04:58")),
    Outage("off", at("07:58:02"), at("10:59:52")),
    Outage("crashed", at("08:59:40"), at("14:59:58", day=11)),
    Outage("deaf", at("08:00:01"), at("14:00:09", day=11)),
    Outage("deaf", at("08:04:00"), at("23:00:20", day=12)),
    Outage("off", at("07:57:59"), at("22:59:30", day=12)),
    Outage("crashed", at("08:30:00"), at("23:30:00", day=12)),
    Outage("off", at("08:59:00"), at("07:00:05", day=13)),
    Outage("deaf", at("08:20:00"), at("06:20:00", day=13)),
    Outage("crashed", at("08:01:10"), at("06:01:00", day=13)),
]


# On database servers only the first two run every time: the others send them no other statements.
@pytest.mark.parametrize(
    ("database", "case"),
    [
        pytest.param(name, case, marks=marks, id=f"{name}-{case}")
        for index, case in enumerate(OUTAGES)
        for name, marks in databases.marks_of_each(weekly=index >= 2).items()
    ],
    indirect=["database"],
)
async def test_hours_of_an_outage_show_their_energy(
    time_lapse: TimeLapse,
    caplog: pytest.LogCaptureFixture,
    case: Outage,
    make_time_lapse: MakeTimeLapse,
    statistics_table: list[tuple[str, ...]] | None,
) -> None:
    await time_lapse.start()
    await outage(time_lapse, *case)
    await live_past_full_hours(time_lapse, 2)
    # What lies further back than the reader remembers ends up in the last hour before that.
    first_full_hour = case.end.replace(minute=0, second=0) - (REMEMBERED - 1) * HOUR
    covered = max(case.begin.replace(minute=0, second=0), first_full_hour)
    await check_hours(time_lapse, at("06:00:00"), case.begin - HOUR)
    errors = await check_hours(time_lapse, covered)
    assert errors.missed < 1e-3
    assert not refusals(caplog)
    changed = await heard_rows_changed(time_lapse)
    assert changed == 0

    # A second run, which knows nothing of the first, changes nothing.
    shown, written = await snapshot(time_lapse), rows_written(caplog)
    await time_lapse.stop()
    await time_lapse.start()
    await time_lapse.live(minutes=15)
    assert await snapshot(time_lapse) == shown
    again = rows_written(caplog) - written
    assert again == 0

    if statistics_table is not None:
        await time_lapse.stop()
        async with make_time_lapse(None) as other:
            at_zero, returned, _ = await live_without_filling(other, *case)
        lasted, without = case.end - case.begin, f"{returned / 1000:.1f} kWh"
        row = (case.kind, f"{case.begin:%H:%M:%S}", lasted, written, *(f"{error:.3f} Wh" for error in errors))
        statistics_table.append(tuple(map(str, (*row, changed, again, at_zero, without))))


async def test_hour_is_received_when_a_gap_follows(
    time_lapse: TimeLapse,
) -> None:
    time_lapse.before_the_end = timedelta(seconds=90)
    await time_lapse.start()
    await outage(time_lapse, "deaf", at("08:00:10"), at("11:11:20"))
    await live_past_full_hours(time_lapse, 1)
    await check_hours(time_lapse, at("06:00:00"))
    assert await heard_rows_changed(time_lapse) == 0


@pytest.mark.parametrize("fills", [True, False], ids=["with", "without"])
async def test_day_is_right_with_an_outage_of_eight_hours(
    make_time_lapse: MakeTimeLapse,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    request: pytest.FixtureRequest,
    *,
    fills: bool,
) -> None:
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    folder = Path(pytestconfig.getoption("--keep-days") or tmp_path)
    database = folder / f"{request.node.callspec.id}.db"
    async with make_time_lapse(f"sqlite:///{database}") as time_lapse:
        time_lapse.options = {CONF_FILL_MISSED_HOURS: fills}
        time_lapse.reader.house.clock = yesterday - 3 * HOUR
        await time_lapse.live(minutes=1)
        await time_lapse.start()
        begin = yesterday + timedelta(hours=6, minutes=40)
        await outage(time_lapse, "off", begin, begin + timedelta(hours=8))
        await time_lapse.run_until(yesterday + timedelta(hours=23, minutes=30))
        hours = await time_lapse.hours(EXPORT)
        if fills:
            await check_hours(time_lapse, yesterday)
        else:
            assert hours[yesterday + 14 * HOUR].change > 30_000


@pytest.mark.smoke
async def test_hours_are_corrected_within_a_minute(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await time_lapse.live(seconds=60)
    await wait_until(lambda: rows_written(caplog))
    await time_lapse.settle()
    await check_hours(time_lapse, at("06:00:00"), at("10:00:00"))


async def test_option_corrects_hours_of_several_outages(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("09:11:20"))
    await outage(time_lapse, "deaf", at("10:50:00"), at("12:11:20"))
    await live_past_full_hours(time_lapse, 1)
    time_lapse.options = {}
    await time_lapse.stop()
    await time_lapse.start()
    # Until it has heard where the registers are, but not for another five minutes of statistics.
    await time_lapse.live(minutes=2, seconds=30)
    await wait_until(lambda: rows_written(caplog) >= 4)
    await time_lapse.settle()
    await check_hours(time_lapse, at("06:00:00"))


@pytest.mark.parametrize(
    "begin", [datetime(2026, 10, 24, 13, 57, 20, tzinfo=UTC), datetime(2027, 3, 27, 13, 57, 20, tzinfo=UTC)]
)
async def test_hours_are_right_when_summer_time_changes(time_lapse: TimeLapse, begin: datetime) -> None:
    time_lapse.reader.house.clock = begin - 2 * HOUR
    await time_lapse.live(minutes=1)
    await time_lapse.start()
    await outage(time_lapse, "off", begin, begin + 23 * HOUR)
    await live_past_full_hours(time_lapse, 2)
    await check_hours(time_lapse, begin.replace(minute=0, second=0) - HOUR)


@pytest.mark.parametrize(
    ("unit", "time_zone"), [("Wh", "Europe/Stockholm"), ("MWh", "Asia/Kolkata"), ("GJ", "America/St_Johns")]
)
@databases.on_each_weekly
async def test_hours_have_the_chosen_unit(time_lapse: TimeLapse, unit: str, time_zone: str) -> None:
    time_lapse.unit, time_lapse.time_zone = unit, time_zone
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await live_past_full_hours(time_lapse, 2)
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
    await live_past_full_hours(time_lapse, 2)
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
    await live_past_full_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


# --------------------------------------------------------------------------------------------- first day


@databases.on_each_weekly
async def test_first_day_shows_the_stored_hours(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.run_until(at("14:35:00", day=13))
    await time_lapse.start()
    await time_lapse.live(minutes=7)
    await wait_until(lambda: rows_written(caplog) >= 2 * (REMEMBERED - 1))
    await time_lapse.settle()
    oldest = at("14:00:00", day=13) - (REMEMBERED - 1) * HOUR
    for register in REGISTERS:
        hours = await time_lapse.hours(register)
        assert min(hours) == oldest
        assert max(hours) == at("13:00:00", day=13)
    assert (await check_hours(time_lapse, oldest)).missed < 1e-3

    # Its own first hour is half from before it came.
    await time_lapse.run_until(at("17:05:00", day=13))
    await check_hours(time_lapse, oldest)
    shown = await snapshot(time_lapse)
    await time_lapse.stop()
    await time_lapse.start()
    await time_lapse.live(minutes=15)
    assert await snapshot(time_lapse) == shown
    assert not refusals(caplog)


@pytest.mark.parametrize("kind", ["off", "deaf"])
async def test_hours_are_right_after_an_outage_on_the_first_day(time_lapse: TimeLapse, kind: str) -> None:
    await time_lapse.run_until(at("14:35:00"))
    await time_lapse.start()
    await outage(time_lapse, kind, at("14:50:00"), at("18:10:00"))
    await live_past_full_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


async def test_hours_are_right_when_a_reader_was_just_added(time_lapse: TimeLapse) -> None:
    await time_lapse.run_until(at("14:35:00"))
    await time_lapse.start()
    await outage(time_lapse, "off", at("14:37:00"), at("15:03:00"))
    await live_past_full_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"))


# --------------------------------------------------------------------------------- what must not be filled


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
    await live_past_full_hours(time_lapse, 2)
    assert rows_written(caplog) == 0
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        assert [hours[at(f"{hour:02}:00:00")].change for hour in (8, 9, 10)] == [0, 0, 0]
        # What the new meter has counted before the return is not in this hour.
        counted = truth[at("12:00:00")] - truth[at("11:00:00")]
        assert 0 <= hours[at("11:00:00")].change <= counted + 50


async def test_sums_of_the_user_are_kept(time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture) -> None:
    await time_lapse.start()
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await live_past_full_hours(time_lapse, 1)
    get_instance(time_lapse.hass).async_adjust_statistics(
        time_lapse.sensor(EXPORT), at("09:00:00"), 1.5, "kWh"
    )
    await time_lapse.stop()
    time_lapse.options = {}
    await time_lapse.start()
    before = await time_lapse.hours(EXPORT)
    await time_lapse.live(minutes=15)
    await wait_until(lambda: refusals(caplog))
    await time_lapse.settle()
    assert await time_lapse.hours(EXPORT) == before


async def test_reader_with_a_wrong_clock_corrects_nothing(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    time_lapse.reader.clock_error = timedelta(minutes=10)
    await outage(time_lapse, "off", time_lapse.now, at("11:11:20"))
    await time_lapse.run_until(at("11:50:00"))
    # Repeated readings have an age, whatever the clock says. Registers on the hour have none.
    hours = await time_lapse.hours(EXPORT)
    assert hours[at("08:00:00")].change == 0
    (issue,) = ir.async_get(time_lapse.hass).issues.values()
    assert issue.translation_key == "reader_clock_wrong"
    assert issue.translation_placeholders == {"name": "Meter", "difference": "0:10:00"}
    # It is right again, and so are the hours.
    time_lapse.reader.clock_error = timedelta()
    await live_past_full_hours(time_lapse, 2)
    assert not ir.async_get(time_lapse.hass).issues
    await check_hours(time_lapse, at("06:00:00"))


async def test_hours_of_a_wrong_clock_are_removed(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("06:30:00"))
    time_lapse.reader.clock_error = 3 * HOUR
    await time_lapse.run_until(at("07:30:00"))
    await time_lapse.disconnect_reader()
    time_lapse.reader.forget()
    time_lapse.reader.clock_error = timedelta()
    await time_lapse.reconnect_reader()
    await time_lapse.run_until(at("08:30:00"))
    await outage(time_lapse, "deaf", at("09:30:00"), at("11:11:20"))
    await live_past_full_hours(time_lapse, 1)
    errors = await check_hours(time_lapse, at("06:00:00"))
    assert errors.missed < 1e-3


# At a time when the other register counts.
@pytest.mark.parametrize(
    ("key", "silent", "hour"), [("Wh", IMPORT, at("09:00:00")), ("Ph", EXPORT, at("18:00:00"))]
)
async def test_zeros_are_a_gap_of_their_register_only(
    time_lapse: TimeLapse, key: str, silent: M, hour: datetime
) -> None:
    time_lapse.before_the_end = timedelta(seconds=90)
    await time_lapse.start()
    await time_lapse.run_until(hour - timedelta(minutes=9))
    # Four times, so that it is no other meter.
    time_lapse.reader.lies = {key: 0}
    await time_lapse.run_until(hour - timedelta(minutes=1))
    time_lapse.reader.lies = {}
    await live_past_full_hours(time_lapse, 2)
    del time_lapse.heard[silent][hour]
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
    await live_past_full_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"), at("08:00:00"))
    await check_hours(time_lapse, at("12:00:00"))
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        # What was counted in the three hours of which nothing is known is in the last of them.
        assert hours[at("09:00:00")].change == hours[at("10:00:00")].change == 0
        unknown = truth[at("12:00:00")] - truth[at("09:00:00")]
        assert hours[at("11:00:00")].change == pytest.approx(unknown)


# ------------------------------------------------------------------------------------------- the recorder


async def test_hours_are_corrected_after_a_backup(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await outage(time_lapse, "deaf", at("07:57:20"), at("11:11:20"))
    instance = get_instance(time_lapse.hass)
    assert await instance.lock_database()
    # Nothing is settled while the recorder waits.
    time_lapse.recorder_is_locked = True
    await time_lapse.live(minutes=3)
    assert instance.unlock_database()
    time_lapse.recorder_is_locked = False
    await live_past_full_hours(time_lapse, 2)
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
    await live_past_full_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"), at("06:00:00"))
    await check_hours(time_lapse, at("15:00:00", day=11))
    # The states are not needed: the hours that the reader stores are right.
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
    await time_lapse.live(minutes=1)
    await wait_until(lambda: refusals(caplog))
    await instance.async_add_executor_job(rename, "statistics_away", "statistics")
    await live_past_full_hours(time_lapse, 2)
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
    await live_past_full_hours(time_lapse, 2)
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


async def test_hours_are_right_after_many_restarts(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    # What is to be filled is known ten seconds after the first reading, which comes at the next even minute.
    for seconds in (5, 49, 50, 51, 60):
        await time_lapse.live(seconds=seconds)
        await time_lapse.stop()
        await time_lapse.run_until(time_lapse.now.replace(second=10) + timedelta(minutes=1))
        await time_lapse.start()
    await live_past_full_hours(time_lapse, 1)
    errors = await check_hours(time_lapse, at("06:00:00"))
    assert errors.missed < 1e-3


async def test_reader_works_without_a_recorder(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    await currentlyone.advance(3 * 3600)
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_excluded_sensor_gets_no_statistics(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    time_lapse.recorder_options = {"exclude": {"entity_globs": "sensor.*export"}}
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await live_past_full_hours(time_lapse, 1)
    assert not await time_lapse.hours(EXPORT)
    assert set(await time_lapse.hours(IMPORT))


async def test_sensor_keeps_its_hours_when_it_is_excluded(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("08:03:00"), at("08:05:00"))
    await time_lapse.stop()
    time_lapse.recorder_options = {"exclude": {"entity_globs": "sensor.*export"}}
    await time_lapse.start()
    await outage(time_lapse, "deaf", at("08:20:00"), at("11:11:20"))
    await live_past_full_hours(time_lapse, 1)
    assert max(await time_lapse.hours(EXPORT)) == at("08:00:00")
    assert max(await time_lapse.hours(IMPORT)) == at("11:00:00")


# ------------------------------------------------------------------------------------------- the live side


async def test_hourly_register_counts_in_the_hour_that_ended(
    time_lapse: TimeLapse,
) -> None:
    time_lapse.reader.sends_registers_hourly = True
    await time_lapse.start()
    await time_lapse.run_until(at("12:05:00"))
    assert (await check_hours(time_lapse, at("06:00:00"))).missed < 1e-3


async def test_hourly_register_is_late_without_corrections(time_lapse: TimeLapse) -> None:
    time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
    time_lapse.reader.sends_registers_hourly = True
    await time_lapse.start()
    await time_lapse.run_until(at("12:05:00"))
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    for begin in (at(f"{hour:02}:00:00") for hour in (8, 9, 10, 11)):
        assert hours[begin].change == pytest.approx(truth[begin] - truth[begin - HOUR])


# --------------------------------------------------------------------------------- away for too long


@databases.on_each_weekly
async def test_reset_sum_is_raised_when_the_user_confirms(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    # A day stands for the ten that are usual.
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    assert await async_setup_component(time_lapse.hass, "repairs", {})
    await outage(time_lapse, "deaf", at("12:20:00"), at("06:20:00", day=13))
    await live_past_full_hours(time_lapse, 2)
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
        "sensor": time_lapse.sensor(EXPORT),
        "left": "2026-11-10 14:00",
        "returned": "2026-11-13 07:00",
        "shown": f"{back.change / 1000:.3f} kWh",
        "counted": f"{counted:.3f} kWh",
        "raise_by": f"{counted - back.change / 1000:.3f} kWh",
    }
    flows = time_lapse.hass.data[REPAIRS]["flow_manager"]
    for issue in issues.values():
        form = await flows.async_init(DOMAIN, data={"issue_id": issue.issue_id})
        assert form["type"] is FlowResultType.FORM
        assert form["step_id"] == "confirm"
        assert form["description_placeholders"] == issue.translation_placeholders
        done = await flows.async_configure(form["flow_id"], {})
        assert done["type"] is FlowResultType.CREATE_ENTRY

    # Now the registers fit, too, and each hour that the reader remembers gets its own.
    await time_lapse.live(minutes=1)
    await wait_until(lambda: rows_written(caplog) >= 2 * (REMEMBERED - 1))
    await time_lapse.settle()
    await check_hours(time_lapse, at("06:00:00", day=13) - (REMEMBERED - 1) * HOUR)
    hours = await time_lapse.hours(EXPORT)
    first, *others = hours.values()
    total = truth[at("08:00:00", day=13)] - first.state
    assert sum(hour.change for hour in others) == pytest.approx(total, abs=3)
    assert not ir.async_get(time_lapse.hass).issues


@pytest.mark.smoke
async def test_repair_does_nothing_when_the_reset_is_gone(time_lapse: TimeLapse) -> None:
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    assert await async_setup_component(time_lapse.hass, "repairs", {})
    await outage(time_lapse, "deaf", at("12:20:00"), at("06:20:00", day=12))
    await live_past_full_hours(time_lapse, 1)
    issues = list(ir.async_get(time_lapse.hass).issues.values())
    flows = time_lapse.hass.data[REPAIRS]["flow_manager"]
    forms = [await flows.async_init(DOMAIN, data={"issue_id": issue.issue_id}) for issue in issues]
    for issue in issues:
        assert issue.data is not None
        assert issue.translation_placeholders is not None
        start = datetime.fromtimestamp(float(issue.data["start"] or 0), UTC)
        assert await async_raise_sums(time_lapse.hass, issue.translation_placeholders["sensor"], start)
    await time_lapse.settle()
    before = await snapshot(time_lapse)
    for form in forms:
        await flows.async_configure(form["flow_id"], {})
    await time_lapse.settle()
    assert await snapshot(time_lapse) == before


async def test_issue_of_a_reset_is_removed_with_the_reader(time_lapse: TimeLapse) -> None:
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    await outage(time_lapse, "deaf", at("12:20:00"), at("06:20:00", day=12))
    await live_past_full_hours(time_lapse, 1)
    await wait_until(lambda: len(ir.async_get(time_lapse.hass).issues) == len(REGISTERS))
    await time_lapse.hass.config_entries.async_remove(time_lapse.entry.entry_id)
    assert not ir.async_get(time_lapse.hass).issues


async def test_sum_of_the_user_is_not_raised(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await outage(time_lapse, "deaf", at("07:57:20"), at("09:20:00", day=11))
    get_instance(time_lapse.hass).async_adjust_statistics(
        time_lapse.sensor(EXPORT), at("09:00:00", day=11), -1.5, "kWh"
    )
    await live_past_full_hours(time_lapse, 2)
    assert not ir.async_get(time_lapse.hass).issues


async def live_with_wrong_clock(time_lapse: TimeLapse, error: timedelta) -> None:
    """Come back from an outage with a wrong clock, which a time server corrects after some minutes."""
    # The recorder compiles all five minutes that it has missed, of as many days as it keeps.
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"), clock_error=error)
    await time_lapse.live(minutes=7)
    time_lapse.set_clock(timedelta())
    await time_lapse.run_until(at("14:02:00"))


async def test_hours_are_corrected_after_the_clock_is_right(time_lapse: TimeLapse) -> None:
    await live_with_wrong_clock(time_lapse, timedelta(days=-20_000))
    await check_hours(time_lapse, at("06:00:00"))


@pytest.mark.parametrize(
    "error",
    [
        # The clock went on where it had been when the power went.
        pytest.param(timedelta(hours=-3, minutes=-14), id="stood still"),
        pytest.param(timedelta(hours=2), id="hours ahead"),
    ],
)
async def test_hours_of_a_wrong_clock_are_not_corrected(time_lapse: TimeLapse, error: timedelta) -> None:
    await live_with_wrong_clock(time_lapse, error)
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        assert all(hour.change >= -1e-3 for hour in hours.values())
        begin, end = at("06:00:00"), at("14:00:00")
        counted = sum(hour.change for start, hour in hours.items() if begin <= start < end)
        assert counted == pytest.approx(truth[end] - truth[begin], abs=3)
