"""Register histories, against a simulated meter whose energy is known at every time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time as clock_time, timedelta
from itertools import pairwise
import json
from typing import Any, NamedTuple
from unittest.mock import patch

from homeassistant.util import dt as dt_util
from hypothesis import given, settings, strategies as st
import pytest

from custom_components.energy_sse.histories import RegisterHistories
from custom_components.energy_sse.power_tariff.demand import Boundary, Interval, intervals_between
from custom_components.energy_sse.reader import (
    Freshness,
    HourlyRegister,
    Measurement as M,
    Reading,
    ReplacedRegister,
    Unit,
)
from custom_components.energy_sse.readings import Readings
from custom_components.energy_sse.registers import (
    HOUR,
    QUARTER,
    TELEGRAM_ENERGY,
    RegisterHistory,
    Replacement,
    start_of,
)

from .validated_reading import validated_reading

START = datetime(2026, 1, 12, 6, 0, tzinfo=UTC)

# Wh, of the meter's register at the start.
REGISTER = 12_345_678

MINUTE = 60.0
HOURS = 3600.0

POWER, ENERGY = M.ACTIVE_POWER_IMPORT, M.ACTIVE_ENERGY_IMPORT
UNITS = {POWER: Unit.WATT, ENERGY: Unit.WATT_HOUR, M.READER_CLOCK_OFFSET: Unit.SECOND}


def at(text: str) -> float:
    """Return the seconds from the start to a time of its day."""
    return (datetime.combine(START, clock_time.fromisoformat(text), UTC) - START).total_seconds()


class House:
    """House with loads, in seconds and W. The last load stays."""

    def __init__(self, *loads: tuple[float, float]) -> None:
        """Begin with the first load."""
        self._loads = loads

    def power(self, time: float) -> float:
        """Return the power at a time."""
        for seconds, watts in self._loads:
            if time < seconds:
                return watts
            time -= seconds
        return self._loads[-1][1]

    def energy(self, time: float) -> float:
        """Return the energy in Wh from the start to a time."""
        energy = 0.0
        for seconds, watts in self._loads[:-1]:
            energy += watts * min(max(time, 0.0), seconds) / HOURS
            time -= seconds
        return energy + self._loads[-1][1] * max(time, 0.0) / HOURS

    def highest(self, start: float, end: float) -> float:
        """Return the highest power between two times."""
        highest, begin = self.power(start), 0.0
        for seconds, watts in self._loads:
            if start <= begin <= end:
                highest = max(highest, watts)
            begin += seconds
        return highest


class Installation:
    """A meter, its reader, and the integration. All times are true seconds from the start."""

    def __init__(self, house: House, *, resolution: int = 1, reader_clock: float | None = 0.0) -> None:
        """Start with an empty history. The reader's clock is ahead by some seconds; None without a clock."""
        self.house = house
        self.wall_error = 0.0
        """Seconds by which Home Assistant's clock is ahead."""

        self.slept = 0.0
        """Seconds for which the event loop's clock stood still."""

        self.now = 0.0
        self.resolution = resolution
        self.reader_clock = reader_clock
        self._register_at_zero = float(REGISTER)
        self.histories = RegisterHistories(UNITS)
        self.readings = Readings(UNITS, Freshness())

    def register(self, time: float) -> float:
        """Return the meter's register."""
        return (self._register_at_zero + self.house.energy(time)) // self.resolution * self.resolution

    def replace(self, register: float) -> None:
        """Replace the meter now."""
        self._register_at_zero = register - self.house.energy(self.now)

    @property
    def wall_time(self) -> datetime:
        """Home Assistant's time."""
        return START + timedelta(seconds=self.now + self.wall_error)

    @property
    def _loop_time(self) -> float:
        return 1000.0 + self.now - self.slept

    def receive(
        self,
        time: float,
        *,
        register: float | None = None,
        power: float | None = None,
        age: float = 0.0,
        sent: float | None = None,
    ) -> None:
        """Receive a telegram, which the meter has sent at `sent`, by default `age` seconds ago."""
        self.now = time
        sent = time - age if sent is None else sent
        values = {ENERGY: register, POWER: power}
        reading = Reading(
            values={key: value for key, value in values.items() if value is not None},
            age=age,
            reader_time=None
            if self.reader_clock is None
            else START + timedelta(seconds=sent + self.reader_clock),
        )
        with patch.object(dt_util, "utcnow", lambda: self.wall_time):
            validated = self.readings.update(reading, self._loop_time)
            if validated is not None:
                self.histories.update(validated)

    @property
    def history(self) -> RegisterHistory:
        """The history of the import."""
        return self.histories.by_register[ENERGY]

    def run(
        self,
        end: float,
        *,
        every: float = 10.0,
        has_register: Callable[[float], bool] = lambda time: True,
        register: Callable[[float], float] | None = None,
        is_lost: Callable[[float], bool] = lambda time: False,
        each: Callable[[float], None] = lambda time: None,
    ) -> None:
        """Receive telegrams until a time."""
        time = self.now if self.now == 0.0 else self.now + every
        while time <= end:
            if not is_lost(time):
                value = (register or self.register)(time) if has_register(time) else None
                self.receive(time, register=value, power=self.house.power(time))
                each(time)
            time += every
        self.now = time - every

    def send_hourly(self, time: float, register: float | None = None) -> None:
        """Send the reader's record of an hour: by default, the right one."""
        hour = START + timedelta(seconds=time)
        values = {ENERGY: self.register(time) if register is None else register}
        self.histories.add_hourly(HourlyRegister(hour=hour, values=values))

    def restart(self) -> None:
        """Restart Home Assistant at once, from its stored data."""
        with patch.object(dt_util, "utcnow", lambda: self.wall_time):
            registers = stored(self.readings.as_dict(self._loop_time))
            clock, data = stored(self.readings.wall_clock.as_dict()), stored(self.histories.as_dict())
            self.slept += 7777.0
            self.readings = Readings(UNITS, Freshness())
            self.readings.restore(registers, self._loop_time)
            self.readings.wall_clock.restore(clock)
        self.histories = RegisterHistories(UNITS)
        self.histories.restore(data)

    # --------------------------------------------------------------------------------------- results

    def total(self, time: float) -> float:
        """Return the true total."""
        return REGISTER + self.house.energy(time)

    def intervals(self, length: timedelta) -> list[Interval]:
        """Return the intervals between the known boundaries."""
        return list(intervals_between(self.points(length), length))

    def points(self, length: timedelta) -> list[Boundary]:
        """Return the known boundaries."""
        boundaries = self.history.boundaries
        return [
            Boundary(time, boundaries[time]) for time in sorted(boundaries) if start_of(time, length) == time
        ]

    def demands(self, length: timedelta, first: str, last: str) -> list[tuple[str, float, bool]]:
        """Return start, mean power in kW, and is_missed, of the intervals between two starts."""
        return [
            (f"{each.start:%H:%M}", round(each.energy / (length / HOUR) / 1000, 2), each.is_missed)
            for each in self.intervals(length)
            if first <= f"{each.start:%H:%M}" <= last
        ]


def stored(data: Mapping[str, Any] | None) -> Any:
    """Return data as read from a file."""
    return json.loads(json.dumps(data, allow_nan=False))


def once_an_hour(time: float) -> bool:
    """Return True for the first telegram of an hour after :00:10."""
    return 10 <= time % HOURS < 20


def steady(kw: float = 3.5) -> House:
    """Return a house that always draws the same."""
    return House((HOURS, 1000 * kw))


def starts(first: str, last: str, length: timedelta) -> Iterator[str]:
    """Yield the starts of the intervals between two times."""
    time, end = START + timedelta(seconds=at(f"{first}:00")), START + timedelta(seconds=at(f"{last}:00"))
    while time <= end:
        yield f"{time:%H:%M}"
        time += length


def all_of(
    first: str, last: str, length: timedelta, kw: float, *, is_missed: bool
) -> list[tuple[str, float, bool]]:
    """Return equal demands."""
    return [(start, kw, is_missed) for start in starts(first, last, length)]


def once_a_quarter(time: float) -> bool:
    """Return True for the first telegram after :00:10, :15:10, :30:10 and :45:10."""
    return 10 <= time % 900 < 20


# -------------------------------------------------------------------------------- missing and old registers


def run_with_one_fault(fault: str, record: str) -> Installation:
    """Return an installation with hourly registers, whose register at 8:00:10 is lost or old."""
    installation = Installation(steady())

    def register(time: float) -> float:
        return installation.register(at("07:00:10") if time == at("08:00:10") else time)

    def send_hourly(time: float) -> None:
        if time % HOURS == 20 and record != "none":
            is_old = record == "old" and time == at("08:00:20")
            installation.send_hourly(time - 20, installation.register(at("07:00:00")) if is_old else None)

    installation.run(
        at("11:30:00"),
        has_register=lambda time: once_an_hour(time) and (fault != "lost" or time != at("08:00:10")),
        register=register if fault == "old" else None,
        each=send_hourly,
    )
    return installation


@pytest.mark.parametrize("fault", ["lost", "old"])
@pytest.mark.parametrize("record", ["right", "none", "old"])
def test_mean_is_billed_without_the_register_between_hours(fault: str, record: str) -> None:
    """Bill the mean of two hours when the register between them is lost or old, and not stored."""
    installation = run_with_one_fault(fault, record)
    demands = installation.demands(HOUR, "07:00", "10:00")
    assert [demand for _, demand, _ in demands] == [3.5] * 4
    missed = {"07:00", "08:00"} if record != "right" else set()
    if fault == "old" and missed:
        # An old register is found to be old only by the next one, an hour later.
        demands = [each for each in demands if each[0] != "09:00"]
    assert {start for start, _, is_missed in demands if is_missed} == missed


def test_quarters_are_right_when_registers_are_rare() -> None:
    """Find a peak in its quarter when the register comes every 15 minutes, and power every second."""
    house = House((at("08:00:00"), 500), (15 * MINUTE, 5000), (HOURS, 500))
    installation = Installation(house)
    installation.run(at("09:31:00"), every=1.0, has_register=lambda time: time % 900 == 10)
    quarters = installation.intervals(QUARTER)
    assert not any(quarter.is_missed for quarter in quarters)
    assert {f"{quarter.start:%H:%M}": quarter.energy for quarter in quarters} == {
        start: pytest.approx(1250 if start == "08:00" else 125, abs=5)
        for start in starts("06:15", "09:15", QUARTER)
    }


@pytest.mark.parametrize("has_register", [once_an_hour, once_a_quarter])
def test_rare_registers_are_known_while_nothing_is_used(has_register: Callable[[float], bool]) -> None:
    """Know each quarter when nothing is imported for hours, and a peak follows."""
    house = House((at("08:00:00"), 1000), (2.5 * HOURS, 0), (15 * MINUTE, 6000), (HOURS, 1000))
    installation = Installation(house)
    installation.run(at("10:00:20"), has_register=has_register)
    assert installation.demands(HOUR, "08:00", "08:00") == [("08:00", 0.0, False)]
    installation.run(at("13:00:20"), has_register=has_register)
    quarters = installation.demands(QUARTER, "08:00", "11:30")
    assert [(start, round(demand, 1), is_missed) for start, demand, is_missed in quarters] == [
        *all_of("08:00", "10:15", QUARTER, 0.0, is_missed=False),
        ("10:30", 6.0, False),
        *all_of("10:45", "11:30", QUARTER, 1.0, is_missed=False),
    ]


@pytest.mark.parametrize("every", [30.0, 110.0, 290.0, 310.0, 600.0, 850.0])
@pytest.mark.parametrize("phase", [0.0, 7.0])
def test_quarters_are_right_when_readings_are_rare(every: float, phase: float) -> None:
    """Bill a steady load correctly with any interval of the readings."""
    installation = Installation(steady())
    installation.now = phase
    installation.run(at("16:00:00"), every=every)
    quarters = installation.demands(QUARTER, "08:00", "15:15")
    assert quarters == all_of("08:00", "15:15", QUARTER, 3.5, is_missed=False)


def test_hourly_readings_are_not_recorded_an_hour_late() -> None:
    """Know no boundary when power and register come once an hour, because the time between is too long."""
    installation = Installation(House((at("08:00:00"), 1000), (HOURS, 5000), (HOURS, 1000)))
    installation.now = 10.0
    installation.run(at("16:00:20"), every=HOURS)
    assert installation.history.boundaries == {}


@pytest.mark.parametrize(
    ("seconds", "before", "after", "total"),
    [(1.0, 4.0, 94.0, 5.0), (1.0, 4.75, 94.0, 6.0), (0.2, 4.75, 56.0, 4.75)],
)
def test_interpolated_total_is_rounded_down(
    seconds: float, before: float, after: float, total: float
) -> None:
    """Round an interpolated total down to whole Wh, but not below the last register."""
    installation = Installation(steady())
    installation.run(at("06:14:50"))
    boundary, register = at("06:15:00"), REGISTER + 870
    installation.receive(boundary - seconds, register=register + before, power=3500.0)
    installation.receive(boundary + 59.0, register=register + after, power=3500.0)
    installation.receive(boundary + 69.0, register=register + after, power=3500.0)
    assert installation.history.boundaries[START + QUARTER] == register + total


# --------------------------------------------------------------------------------------- replacements


@pytest.mark.parametrize("first", [5.0, 98_000_000.0])
@pytest.mark.parametrize("has_record", [False, True])
def test_replacement_is_not_billed(first: float, *, has_record: bool) -> None:
    """Bill the mean around a meter replacement at 7:58 that is confirmed minutes after 8:00."""
    installation = Installation(steady())
    installation.run(at("07:58:00"))
    installation.replace(first)
    installation.run(at("08:30:00"))
    if has_record:
        installation.send_hourly(at("08:00:00"))
    installation.run(at("10:30:00"))
    (replacement,) = installation.history.replacements
    assert at("08:00:00") < (replacement.time - START).total_seconds() < at("08:06:00")
    demands = installation.demands(HOUR, "07:00", "09:00")
    assert [(start, round(kw, 1), is_missed) for start, kw, is_missed in demands] == [
        *all_of("07:00", "08:00", HOUR, 3.5, is_missed=not has_record),
        ("09:00", 3.5, False),
    ]
    quarters = installation.demands(QUARTER, "06:15", "10:00")
    assert [start for start, _, is_missed in quarters if is_missed] == (
        [] if has_record else ["07:45", "08:00"]
    )
    # The energy between the last register of the old meter and the first one of the new meter is unknown.
    assert all(3.46 <= demand <= 3.5 for _, demand, _ in quarters)


# ---------------------------------------------------------------------------------------------- clocks


@pytest.mark.parametrize("reader_clock", [0.0, None])
@pytest.mark.parametrize("error", [HOURS, -40_000_000.0])
def test_times_of_a_clock_that_starts_wrong_are_not_stored(error: float, reader_clock: float | None) -> None:
    """Know only times of the corrected clock, when it was ahead or years behind at the start."""
    installation = Installation(steady(), reader_clock=reader_clock)
    installation.wall_error = error
    installation.run(at("06:30:00"))
    installation.wall_error = 0.0
    installation.run(at("11:10:00"))
    assert min(installation.history.boundaries) == START + timedelta(minutes=45)
    assert installation.demands(QUARTER, "00:00", "10:30") == all_of(
        "06:45", "10:30", QUARTER, 3.5, is_missed=False
    )


@pytest.mark.parametrize(
    ("error", "reader_clock", "restarts"),
    [
        (HOURS, 0.0, False),
        (-HOURS, 0.0, False),
        (HOURS, 0.0, True),
        (HOURS, None, True),
        (-40_000_000.0, 0.0, True),
        (-40_000_000.0, None, True),
        (-40_000_000.0, 70.0, True),
    ],
)
def test_times_of_a_wrong_clock_are_removed(
    error: float, reader_clock: float | None, *, restarts: bool
) -> None:
    """Keep the boundaries from before half an hour in which the clock was wrong, and miss that time."""
    installation = Installation(steady(), reader_clock=reader_clock)
    installation.run(at("08:10:00"))
    if restarts:
        installation.restart()
    installation.wall_error = error
    installation.run(at("08:40:00"))
    installation.wall_error = 0.0
    installation.run(at("11:10:00"))
    assert installation.demands(QUARTER, "00:00", "10:30") == [
        *all_of("06:15", "07:45", QUARTER, 3.5, is_missed=False),
        *all_of("08:00", "08:30", QUARTER, 3.5, is_missed=True),
        *all_of("08:45", "10:30", QUARTER, 3.5, is_missed=False),
    ]


@pytest.mark.parametrize("reader_clock", [HOURS, 70.0])
@pytest.mark.parametrize("event", ["restart", "sleep", "sleep and replay", "set back"])
def test_wrong_reader_clock_removes_no_boundary(event: str, reader_clock: float) -> None:
    """Keep all boundaries when only the reader's clock is wrong, before and after an event, or after it."""
    installation = Installation(steady(), reader_clock=reader_clock)
    installation.run(at("08:10:00"))
    known = dict(installation.history.boundaries)
    if event == "restart":
        installation.restart()
    elif event == "set back":
        installation.reader_clock = -HOURS
    else:
        installation.now += 8 * HOURS
        installation.slept += 8 * HOURS
    if event == "sleep and replay":
        with patch.object(dt_util, "utcnow", lambda: installation.wall_time):
            clock = installation.wall_time + timedelta(seconds=reader_clock)
            installation.readings.update_reader_clock(clock)
        installation.receive(installation.now, register=installation.register(installation.now), age=5.0)
    end = installation.now + HOURS
    installation.run(end)
    boundaries = installation.history.boundaries
    assert known.items() <= boundaries.items()
    assert max(boundaries) == start_of(START + timedelta(seconds=end), QUARTER)


@pytest.mark.parametrize("first", [5.0, 98_000_000.0])
@pytest.mark.parametrize("error", [HOURS, -HOURS])
def test_replacement_while_the_clock_is_wrong_is_counted(error: float, first: float) -> None:
    """Bill no quarter above the meter when it was replaced while the clock was an hour ahead or behind."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.wall_error = error
    installation.run(at("08:20:00"))
    installation.replace(first)
    installation.run(at("08:40:00"))
    installation.wall_error = 0.0
    installation.run(at("11:10:00"))
    assert len(installation.history.replacements) == 1
    demands = installation.demands(QUARTER, "06:15", "10:30")
    assert {demand for _, demand, _ in demands} <= {3.49, 3.5}


def test_replacement_is_recorded_once_when_the_clock_is_set() -> None:
    """Record one replacement when the times since the replacement are removed, without a reader's clock."""
    installation = Installation(steady(), reader_clock=None)
    installation.run(at("07:40:00"))
    installation.replace(5.0)
    installation.run(at("08:10:00"))
    installation.wall_error = HOURS
    installation.run(at("10:10:00"))
    assert len(installation.history.replacements) == 1


@pytest.mark.parametrize("sleeps", [True, False])
@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("seconds", [1.0, 45.0])
def test_delayed_telegrams_define_no_boundary(*, sleeps: bool, number: int, seconds: float) -> None:
    """Count no more energy than the meter when telegrams of a sleep arrive just before a quarter-hour."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    end = at("16:15:00") - seconds
    installation.slept += end - installation.now if sleeps else 0.0
    installation.now = end
    for n in range(number):
        sent = at("08:10:10") + 10 * n
        installation.receive(end, register=installation.register(sent), power=3500.0, sent=sent)
    installation.now = end + 40.0
    installation.run(at("18:10:00"))
    assert installation.readings.validator.rejected.total() == 0
    assert installation.history.replacements == []
    assert {demand for _, demand, _ in installation.demands(QUARTER, "06:15", "17:45")} == {3.5}


# ------------------------------------------------------------------------- registers stored by the reader


def test_records_are_accepted_with_the_first_register() -> None:
    """Accept the records of an outage at once when the first register after it comes on the hour."""
    installation = Installation(steady())
    installation.run(at("07:30:00"), has_register=once_an_hour)
    installation.now = at("09:30:00")
    for hour in ("08:00:00", "09:00:00"):
        installation.send_hourly(at(hour))
    installation.run(at("09:59:50"), has_register=once_an_hour)
    installation.send_hourly(at("10:00:00"))
    installation.run(at("10:00:20"), has_register=once_an_hour)
    assert installation.demands(HOUR, "07:00", "09:00") == all_of(
        "07:00", "09:00", HOUR, 3.5, is_missed=False
    )


def test_old_records_are_not_accepted() -> None:
    """Accept no record of a reader whose clock was years behind."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.send_hourly(-300 * 24 * HOURS, REGISTER - 1000.0)
    installation.run(at("08:40:00"))
    assert min(installation.history.boundaries) > START


def test_records_of_the_future_do_not_displace_right_ones() -> None:
    """Accept right records when a reader whose clock was ahead has sent more records than are kept."""
    installation = Installation(steady())
    installation.run(at("07:30:00"))
    for hour in range(300):
        installation.send_hourly(at("07:00:00") + (10_000 + hour) * HOURS, REGISTER + 1.0 * hour)
    installation.now = at("10:30:00")
    for time in ("08:00:00", "09:00:00", "10:00:00"):
        installation.send_hourly(at(time))
    installation.run(at("10:40:00"))
    assert {START + n * HOUR for n in (2, 3, 4)} <= installation.history.boundaries.keys()


def test_record_replaces_a_boundary_of_a_wrong_clock() -> None:
    """Accept the record of an hour whose register was received by a wrong clock."""
    installation = Installation(steady())
    installation.run(at("07:50:00"))
    installation.wall_error = HOURS
    installation.run(at("08:40:00"))
    installation.now = at("09:30:00")
    installation.wall_error = 0.0
    installation.send_hourly(at("09:00:00"))
    installation.run(at("10:10:00"))
    boundary = installation.history.boundaries[START + 3 * HOUR]
    assert boundary == pytest.approx(installation.total(at("09:00:00")), abs=2)


@pytest.mark.parametrize("has_history", [True, False])
@pytest.mark.parametrize("wrong", [0.0, -7.0, 99_999_999_999.0])
@pytest.mark.parametrize("hour", [8, 12, 17])
def test_one_wrong_record_of_ten_is_rejected(hour: int, wrong: float, *, has_history: bool) -> None:
    """Accept nine of ten records after an outage, each exactly. A meter without a history is new."""
    installation = Installation(steady())
    if has_history:
        installation.run(at("07:30:00"))
    installation.now = at("17:30:00")
    if not has_history:
        installation.replace(90_000.0)
    for each in range(8, 18):
        installation.send_hourly(at(f"{each:02}:00:00"), wrong if each == hour else None)
    installation.run(at("17:40:00"))
    known = {at(f"{each:02}:00:00") for each in range(8, 18) if each != hour}
    boundaries = installation.history.boundaries
    assert {time: total for time, total in boundaries.items() if time > START + 1.75 * HOUR} == {
        START + timedelta(seconds=time): pytest.approx(installation.register(time), abs=1) for time in known
    }


def test_records_wait_for_a_known_clock() -> None:
    """Accept records when the reader's clock is known and right."""
    installation = Installation(steady(), reader_clock=None)
    installation.now = at("10:30:00")
    installation.send_hourly(at("10:00:00"))
    installation.run(at("10:40:00"))
    assert installation.history.boundaries == {}
    installation.reader_clock = 0.0
    installation.run(at("10:41:00"))
    assert installation.history.boundaries == {START + 4 * HOUR: installation.register(at("10:00:00"))}


@pytest.mark.parametrize("event", ["none", "restart", "restart while wrong", "wrong again"])
@pytest.mark.parametrize("reader_clock", [-300.0, -HOURS, 600.0, HOURS])
def test_records_of_a_wrong_clock_are_not_accepted(reader_clock: float, event: str) -> None:
    """Accept only hours of a right clock when the reader repeats all hours after a correction.

    The clock is wrong from 8:10 to 11:40. Home Assistant receives nothing from 8:20 to 11:30, and from 12:30
    to 14:30.
    """
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.reader_clock = reader_clock
    installation.run(at("08:20:00"))
    installation.now = at("11:30:00")

    def send_hours(last: int, *, is_wrong: bool) -> None:
        for hour in range(9, last + 1):
            time = at(f"{hour:02}:00:00")
            installation.send_hourly(time, installation.register(time - reader_clock * is_wrong))

    send_hours(11, is_wrong=True)
    installation.run(at("11:40:00"))
    if event == "restart while wrong":
        installation.restart()
    installation.reader_clock = 0.0
    installation.run(at("12:10:00"))
    if event == "wrong again":
        installation.reader_clock = -120.0
        installation.run(at("12:20:00"))
        installation.reader_clock = 0.0
    installation.run(at("12:30:00"))
    if event == "restart":
        installation.restart()
    installation.now = at("14:30:00")
    send_hours(11, is_wrong=True)
    for hour in (12, 13, 14):
        installation.send_hourly(at(f"{hour}:00:00"))
    installation.run(at("15:10:00"))
    demands = installation.demands(HOUR, "08:00", "15:00")
    missed = [start for start, _, is_missed in demands if is_missed]
    assert missed == ["08:00", "09:00", "10:00", "11:00"]
    for point in installation.points(HOUR):
        seconds = (point.time - START).total_seconds()
        assert point.energy == pytest.approx(installation.total(seconds), abs=10), point.time


def test_record_of_a_replaced_meter_is_not_accepted() -> None:
    """Accept no record of the old meter that it has stored after its last reading.

    The power of the new meter is received before its register.
    """
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.now = at("11:00:00")
    register = installation.register(at("09:00:00"))
    installation.replace(5.0)
    installation.run(at("12:04:00"), has_register=lambda time: False)
    installation.send_hourly(at("09:00:00"), register)
    installation.run(at("12:04:50"), has_register=lambda time: False)
    # The new meter counts more than the old one after its last reading.
    installation.run(at("14:30:00"))
    totals = [point.energy for point in installation.points(QUARTER)]
    assert totals == sorted(totals)
    assert START + 3 * HOUR not in installation.history.boundaries


def test_record_of_a_wrong_clock_replaces_no_right_one() -> None:
    """Keep the record of an hour when the clock is set back by an hour, and the reader stores it again."""
    installation = Installation(steady())
    installation.run(at("07:55:00"))
    installation.now = at("08:05:00")
    installation.send_hourly(at("08:00:00"))
    installation.run(at("08:10:00"))
    installation.now, installation.reader_clock = at("09:30:00"), -HOURS
    installation.send_hourly(at("08:00:00"), installation.register(at("09:00:00")))
    installation.run(at("09:40:00"))
    installation.reader_clock = 0.0
    installation.run(at("09:50:00"))
    assert installation.history.boundaries[START + 2 * HOUR] == installation.register(at("08:00:00"))


def test_record_of_a_wrong_clock_is_ignored_in_a_replay() -> None:
    """Accept no wrong record when the reader repeats readings before it sends a new one."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.reader_clock = -120.0
    installation.run(at("08:20:00"))
    installation.reader_clock = 0.0
    hours = [at(f"{hour:02}:00:00") for hour in (9, 10, 11)]
    for hour in hours:
        installation.send_hourly(hour, installation.register(hour + 120))
    sent = at("10:59:50")
    age = at("11:05:00") - sent
    installation.receive(sent + age, register=installation.register(sent), power=3500.0, age=age)
    installation.run(at("11:10:00"))
    boundaries = installation.history.boundaries
    known = [hour for hour in hours if START + timedelta(seconds=hour) in boundaries]
    assert known in ([], [at("11:00:00")])
    for hour in known:
        assert boundaries[START + timedelta(seconds=hour)] == pytest.approx(installation.total(hour), abs=20)


@pytest.mark.parametrize("has_delayed", [False, True])
def test_records_are_accepted_after_a_sleep(*, has_delayed: bool) -> None:
    """Accept the hours of a computer's sleep when the telegrams from before it arrive with them."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.now, installation.slept = at("11:30:00"), at("11:30:00") - installation.now
    for second in range(10, 60, 10) if has_delayed else ():
        sent = at("08:10:00") + second
        installation.receive(installation.now, register=installation.register(sent), power=3500.0, sent=sent)
    for hour in ("09:00:00", "10:00:00", "11:00:00"):
        installation.send_hourly(at(hour))
    installation.run(at("12:10:00"))
    hours = installation.demands(HOUR, "08:00", "11:00")
    assert [is_missed for _, _, is_missed in hours] == [False] * 4


@pytest.mark.parametrize("error", [-40_000_000.0, 6.5])
def test_records_are_accepted_after_other_clock_errors(error: float) -> None:
    """Accept the hours of an outage after the reader's clock was wrong for a short time."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.now, installation.reader_clock = at("10:30:00"), error
    installation.run(at("10:31:00"))
    installation.reader_clock = 0.0
    for hour in ("09:00:00", "10:00:00"):
        installation.send_hourly(at(hour))
    installation.run(at("11:10:00"))
    hours = installation.demands(HOUR, "08:00", "10:00")
    assert [is_missed for _, _, is_missed in hours] == [False] * 3


@pytest.mark.parametrize("error", [HOURS, -HOURS])
def test_records_are_accepted_after_a_wrong_wall_clock(error: float) -> None:
    """Accept the hours of an outage when Home Assistant's clock was wrong after it."""
    installation = Installation(steady())
    installation.run(at("08:10:00"))
    installation.now, installation.wall_error = at("11:30:00"), error
    installation.run(at("11:40:00"))
    installation.wall_error = 0.0
    for hour in ("09:00:00", "10:00:00", "11:00:00"):
        installation.send_hourly(at(hour))
    installation.run(at("12:10:00"))
    hours = installation.demands(HOUR, "08:00", "11:00")
    assert [is_missed for _, _, is_missed in hours] == [False] * 4


# ------------------------------------------------------------------------------------------ properties

watts = st.sampled_from([0.0, 50.0, 200.0, 400.0, 1000.0, 3500.0, 8000.0])
seconds = st.sampled_from([60.0, 300.0, 900.0, 1800.0, 3600.0, 5400.0])
houses = st.lists(st.tuples(seconds, watts), min_size=1, max_size=6).map(lambda loads: House(*loads))
times = st.floats(0, 3 * HOURS)
gaps = st.tuples(times, st.sampled_from([0.0, 30.0, 300.0, 900.0, 2400.0, 5400.0]))


class Telegrams(NamedTuple):
    """Telegrams of a meter: their interval, faults and outages."""

    every: float
    kind: str
    """Registers: "always", "absent" or "old" for a while, or once in a "quarter" or an "hour"."""

    phase: float
    """Part of the interval."""

    fault: tuple[float, float]
    """Start and duration of absent or old registers, in seconds."""

    outage: tuple[float, float]
    """Start and duration of an outage, in seconds."""

    lost: frozenset[int]
    """Telegrams that are lost."""

    restarts: frozenset[int]
    """Telegrams after which Home Assistant restarts."""

    records: Mapping[int, float | None]
    """Records of the reader, by the hour: wrong ones, and None for the right one."""


some = st.frozensets(st.integers(1, 300), max_size=5)
wrong_records = st.sampled_from([None, None, 0.0, -7.0, 99_999_999_999.0])
telegrams = st.builds(
    Telegrams,
    every=st.sampled_from([10.0, 30.0, 60.0]),
    kind=st.sampled_from(["always", "absent", "old", "quarter", "hour"]),
    phase=st.floats(0, 0.99),
    fault=gaps,
    outage=gaps,
    lost=some,
    restarts=some,
    records=st.dictionaries(st.integers(1, 3), wrong_records),
)


def simulate(installation: Installation, sent: Telegrams, *, restarts: bool = True) -> None:
    """Run an installation for four hours."""
    begin, duration = sent.fault
    is_rare = {"quarter": 900, "hour": HOURS}.get(sent.kind)
    records = dict(sent.records)

    def has_register(time: float) -> bool:
        if is_rare:
            return 10 <= time % is_rare < 10 + sent.every
        return sent.kind != "absent" or not begin <= time < begin + duration

    def register(time: float) -> float:
        is_old = sent.kind == "old" and begin <= time < begin + duration
        return installation.register(begin if is_old else time)

    def is_lost(time: float) -> bool:
        start, lasted = sent.outage
        return start <= time < start + lasted or int(time // sent.every) in sent.lost

    def after(time: float) -> None:
        hour = int(time // HOURS)
        if hour in records and time % HOURS > 15:
            installation.send_hourly(hour * HOURS, records.pop(hour))
        if restarts and int(time // sent.every) in sent.restarts:
            installation.restart()

    installation.now = sent.phase * sent.every
    installation.run(
        4 * HOURS,
        every=sent.every,
        has_register=has_register,
        register=register,
        is_lost=is_lost,
        each=after,
    )


def telegram_of(sent: Telegrams, installation: Installation, time: float) -> float:
    """Return the largest error of a boundary in Wh, from a telegram and the register's resolution."""
    pause = max(4 * sent.every, MINUTE) + sent.every if sent.lost else 1.1 * sent.every + 1
    energy = installation.house.highest(time - pause, time + pause) * pause / HOURS
    return energy + installation.resolution + (TELEGRAM_ENERGY if sent.kind == "old" else 0.0) + 2


def is_old_after_an_outage(sent: Telegrams) -> bool:
    """Return True if an old register follows an outage, so that it cannot be rejected."""
    return sent.kind == "old" and sent.outage[1] > 0


@settings(max_examples=60)
@given(houses, telegrams, st.sampled_from([1, 10, 100]))
def test_all_energy_is_billed_once(house: House, sent: Telegrams, resolution: int) -> None:
    """Bill all energy once, know each boundary within a telegram, and bill no interval above its use.

    A missed interval is not billed above the highest one of its gap.
    """
    installation = Installation(house, resolution=resolution)
    simulate(installation, sent)

    def uncertainty(point: Boundary) -> float:
        return telegram_of(sent, installation, (point.time - START).total_seconds())

    for length in (QUARTER, HOUR):
        points = installation.points(length)
        totals = [point.energy for point in points]
        assert totals == sorted(totals)
        billed = sum(interval.energy for interval in intervals_between(points, length))
        assert billed == pytest.approx(totals[-1] - totals[0] if totals else 0.0)
        if is_old_after_an_outage(sent):
            continue
        for point in points:
            true = installation.total((point.time - START).total_seconds())
            assert point.energy == pytest.approx(true, abs=uncertainty(point))
        for one, other in pairwise(points):
            intervals = list(intervals_between([one, other], length))
            begins = [(each.start - START).total_seconds() for each in intervals]
            used = [house.energy(begin + length.total_seconds()) - house.energy(begin) for begin in begins]
            error = uncertainty(one) + uncertainty(other)
            assert intervals[0].energy <= max(used) + error / len(intervals)


@settings(max_examples=20)
@given(houses, telegrams)
def test_restored_history_has_the_same_boundaries(house: House, sent: Telegrams) -> None:
    """Know the same boundaries with restarts as without them, when each telegram has a register."""
    sent = sent._replace(kind="always", lost=frozenset())
    restarted, other = Installation(house), Installation(house)
    simulate(restarted, sent)
    simulate(other, sent, restarts=False)
    assert restarted.history.boundaries == {
        time: pytest.approx(total, abs=0.1) for time, total in other.history.boundaries.items()
    }
    assert stored(restarted.history.as_dict())["last"] == pytest.approx(
        stored(other.history.as_dict())["last"], abs=0.2
    )


changes = st.lists(
    st.tuples(
        st.sampled_from([600.0, 1800.0, 3000.0, 5000.0]),
        st.sampled_from(["set", "right", "sleep", "restart", "outage"]),
        st.sampled_from([600.0, HOURS, -600.0, -HOURS, -40_000_000.0]),
    ),
    max_size=6,
)


@settings(max_examples=40)
@given(houses, changes)
def test_boundaries_are_right_when_the_clock_is_corrected(
    house: House, steps: Sequence[tuple[float, str, float]]
) -> None:
    """Know each boundary within a telegram, after a wrong clock, sleep, and restarts."""
    installation = Installation(house)
    for duration, change, error in steps:
        installation.run(installation.now + duration, every=30.0)
        if change in ("set", "right"):
            installation.wall_error = error if change == "set" else 0.0
        elif change == "restart":
            installation.restart()
        else:
            installation.now += abs(error) % 20_000
            installation.slept += abs(error) % 20_000 if change == "sleep" else 0.0
    installation.run(installation.now + 60.0, every=30.0)
    installation.wall_error = 0.0
    installation.run(installation.now + 2 * HOURS, every=30.0)
    for time, total in installation.history.boundaries.items():
        true_at = (time - START).total_seconds()
        highest = house.highest(true_at - MINUTE, true_at + MINUTE)
        assert total == pytest.approx(installation.total(true_at), abs=highest * MINUTE / HOURS + 2)


# ----------------------------------------------------------------------------------------- regressions


def test_boundary_while_the_clock_is_set_is_removed() -> None:
    """Remove a boundary between the last right time and the first wrong one, when the clock is corrected."""
    installation = Installation(steady())
    installation.run(at("07:44:00"), every=30.0)
    installation.wall_error = 90.0
    installation.run(at("07:50:00"), every=30.0)
    installation.wall_error = 0.0
    installation.run(at("08:10:00"), every=30.0)
    boundary = installation.history.boundaries.get(START + 1.75 * HOUR)
    assert boundary is None or boundary == pytest.approx(installation.total(at("07:45:00")), abs=35)


@pytest.mark.parametrize("error", [HOURS, 100.0, -100.0])
def test_total_continues_when_the_clock_is_corrected(error: float) -> None:
    """Estimate the total by power from the last hourly register when the clock has been corrected."""
    installation = Installation(steady())
    installation.wall_error = error
    installation.run(at("08:40:00"), has_register=once_an_hour)
    installation.wall_error = 0.0
    installation.run(at("08:50:00"), has_register=once_an_hour)
    assert installation.history.last is not None
    # At most the energy since 8:00:10 is missing, because it was received by the wrong clock.
    assert installation.history.last.total >= installation.register(at("08:00:10"))


def test_totals_do_not_fall_with_a_coarse_register() -> None:
    """Order the estimates between registers of 100 Wh, and a record of the reader."""
    installation = Installation(House((HOURS, 50), (HOURS, 1000)), resolution=100)

    def send_hourly(time: float) -> None:
        if time == at("07:00:30"):
            installation.send_hourly(at("07:00:00"))

    installation.run(at("07:40:00"), has_register=once_a_quarter, each=send_hourly)
    totals = [point.energy for point in installation.points(QUARTER)]
    assert totals == sorted(totals)


def test_rare_register_without_power_is_not_estimated() -> None:
    """Bill no quarter above the meter when a register is hourly, and power is not received."""
    installation = Installation(steady(1.0))
    time = 0.0
    while time <= at("10:10:00"):
        installation.receive(time, register=installation.register(time) if once_an_hour(time) else None)
        time += 10
    assert {demand for _, demand, _ in installation.demands(QUARTER, "06:15", "09:45")} <= {1.0}


def test_old_register_after_an_outage_is_not_accepted() -> None:
    """Bill nothing above the meter when the register stays old for a minute after an outage."""
    installation = Installation(steady())
    installation.run(at("07:00:00"))
    installation.now = at("07:59:20")
    installation.run(
        at("09:10:00"),
        register=lambda time: installation.register(at("07:00:00") if time < at("08:00:30") else time),
    )
    assert {demand for _, demand, _ in installation.demands(QUARTER, "06:15", "08:45")} == {3.5}


def test_restart_keeps_estimates() -> None:
    """Know the quarters of an hour with a short restart when the register is hourly."""
    installation = Installation(steady())
    installation.run(at("08:40:00"), has_register=once_an_hour)
    installation.restart()
    installation.run(at("09:10:00"), has_register=once_an_hour)
    assert installation.demands(QUARTER, "08:00", "08:30") == all_of(
        "08:00", "08:30", QUARTER, 3.5, is_missed=False
    )


def test_replacement_is_recorded_once_when_nothing_is_used() -> None:
    history = RegisterHistory()
    start = datetime(2026, 11, 10, 8, 0, tzinfo=UTC)
    replacement = ReplacedRegister(5_000_000.0, 17.0, 30.0)
    registers = [(5_000_000.0, None), (17.0, replacement), (17.0, None), (18.0, None)]
    for n, (register, replaced) in enumerate(registers):
        time = start + timedelta(minutes=n)
        history.update(validated_reading(time, 60), register, 0.0, replaced)
    confirmed, since = start + timedelta(minutes=1), start + timedelta(seconds=30)
    assert history.replacements == [Replacement(confirmed, 5_000_000.0, 17.0, since)]
    assert history.last is not None
    assert history.last.total == 5_000_001.0
