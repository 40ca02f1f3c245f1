"""Current interval of a simulated meter."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import json

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.energy_sse.power_tariff.current_interval import CurrentInterval
from custom_components.energy_sse.registers import (
    HOUR,
    QUARTER,
    Point,
    RegisterHistory,
    start_of,
)
from custom_components.energy_sse.wall_clock import Period

from .validated_reading import validated_reading

START = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)

# W, of 3 x 25 A.
SUPPLY = 17_250.0

REGISTER = 12_345_678.0

type Kind = Callable[[float], bool]

# When the meter sends its register.
KINDS: dict[str, Kind] = {
    "always": lambda _: True,
    "quarter": lambda time: 10 <= time % 900 < 20,
    "hour": lambda time: 10 <= time % 3600 < 20,
    "never": lambda _: False,
}


class Meter:
    """A meter, its register history, and the current interval. All times are seconds."""

    def __init__(self, length: timedelta, *, kind: str = "always", every: float = 10.0) -> None:
        """Start without a reading."""
        self.length = length
        self.every = every
        self.now = 0.0
        self.history = RegisterHistory()
        self.running = CurrentInterval(length, SUPPLY)
        self.received: list[float] = []
        """Powers of the running interval."""

        self._has_register = KINDS[kind]
        self._register = REGISTER

    def run(self, duration: float, power: float, check: Callable[[], None] = lambda: None) -> None:
        """Draw a power for some time, and receive it."""
        end = self.now + duration
        while self.now < end:
            self._draw(self.every, power)
            self._receive(power)
            check()

    def skip(self, duration: float, power: float) -> None:
        """Draw a power for some time, and receive nothing."""
        self._draw(duration, power)

    def restart(self) -> None:
        """Restart from stored data."""
        data = json.loads(json.dumps([self.history.as_dict(), self.running.as_dict()], allow_nan=False))
        self.history = RegisterHistory()
        self.history.restore(data[0])
        self.running = CurrentInterval(self.length, SUPPLY)
        if data[1] is not None:
            self.running.restore(data[1], self.history.last)

    @property
    def rest(self) -> float:
        """Seconds until the interval ends."""
        length = self.length.total_seconds()
        return length - self.now % length

    def _draw(self, duration: float, power: float) -> None:
        self.now += duration
        self._register += power * duration / 3600

    def _receive(self, power: float) -> None:
        time = START + timedelta(seconds=self.now)
        register = self._register // 1 if self._has_register(self.now) else None
        self.history.update(validated_reading(time, self.every), register, power)
        assert self.history.last is not None
        if self.running.update(self.history.last, self.history.total(start_of(time, self.length))):
            self.received.clear()
        self.received.append(power)


lengths = pytest.mark.parametrize("length", [QUARTER, HOUR])
kinds = pytest.mark.parametrize("kind", KINDS)
steps = st.lists(
    st.tuples(
        st.sampled_from([60.0, 200.0, 600.0, 1700.0]),
        st.sampled_from([0.0, 200.0, 2000.0, 8000.0, 17_000.0]),
        st.sampled_from(["run", "run", "skip", "restart"]),
    ),
    max_size=8,
)


def empty(length: timedelta) -> CurrentInterval:
    """Return an interval before its first reading."""
    return CurrentInterval(length, SUPPLY)


@lengths
def test_current_interval_is_unknown_before_a_reading(length: timedelta) -> None:
    """Know no value, and store no data, before the first reading."""
    running = empty(length)
    assert (running.demand, running.expected_demand, running.available_power(3000.0)) == (None, None, None)
    assert (running.start, running.as_dict()) == (None, None)


@kinds
@lengths
def test_current_interval_follows_a_steady_power(length: timedelta, kind: str) -> None:
    """Return the power itself as demand and expected demand."""
    meter = Meter(length, kind=kind)

    def check() -> None:
        assert meter.running.demand == pytest.approx(2000)
        assert meter.running.expected_demand == pytest.approx(2000, abs=1)

    meter.run(3 * 3600, 2000.0, check)


@settings(max_examples=40)
@given(
    st.sampled_from([QUARTER, HOUR]),
    st.sampled_from(["always", "quarter", "hour"]),
    st.sampled_from([10.0, 30.0, 60.0]),
    steps,
)
def test_demand_is_within_the_received_powers(
    length: timedelta, kind: str, every: float, steps: list[tuple[float, float, str]]
) -> None:
    """Keep demand and expected demand within the powers, and available power within the supply."""
    meter = Meter(length, kind=kind, every=every)
    powers = [0.0]

    def check() -> None:
        running = meter.running
        assert running.demand is not None
        assert running.expected_demand is not None
        low, high = min(meter.received), max(meter.received)
        if powers[0] >= 0:
            assert low - 0.01 <= running.demand <= high + 0.01
        assert -0.01 <= running.expected_demand <= 17_000.01
        available = running.available_power(3000.0)
        assert (available is None) == (meter.rest < 30)
        assert available is None or 0 <= available <= SUPPLY

    for duration, power, action in steps:
        if action == "skip":
            # A gap ends with its interval, because the mean power of a gap counts as received.
            meter.skip(meter.rest + 5, power)
        elif action == "restart":
            meter.restart()
        meter.run(duration, power, check)


@pytest.mark.parametrize("every", [1.0, 10.0, 60.0])
def test_only_a_lasting_load_is_an_expected_peak(every: float) -> None:
    """Expect less than 1.5 kW while a kettle of 2.2 kW heats for three minutes."""
    meter = Meter(HOUR, every=every)
    meter.run(1800, 400.0)
    meter.run(1800, 400.0)
    expected: list[float] = []

    def check() -> None:
        assert meter.running.expected_demand is not None
        expected.append(meter.running.expected_demand)

    meter.run(180, 2600.0, check)
    meter.run(3000, 400.0, check)
    assert 1000 < max(expected) < 1500
    assert expected[-1] == pytest.approx((180 * 2600 + 3420 * 400) / 3600, rel=0.02)
    # A load that lasts is expected within the minutes of the mean power.
    meter.run(660, 5000.0)
    assert meter.running.expected_demand == pytest.approx(5000, abs=100)


@lengths
def test_available_power_lets_the_demand_reach_the_limit(length: timedelta) -> None:
    """Reach exactly the limit when the available power is drawn until the end."""
    meter = Meter(length)
    meter.run(length.total_seconds(), 1000.0)
    meter.run(length.total_seconds() / 2, 1000.0)
    available = meter.running.available_power(3000.0)
    assert available == pytest.approx(5000, rel=0.01)
    meter.run(length.total_seconds() / 2 - meter.every, 5000.0)
    assert meter.running.demand == pytest.approx(3000, rel=0.01)


@lengths
def test_available_power_is_bounded_by_the_supply(length: timedelta) -> None:
    """Return the supply when more is left, zero when nothing is left, and None in the last 30 seconds."""
    meter = Meter(length, every=5.0)
    meter.run(2 * length.total_seconds() - 60, 100.0)
    assert meter.running.available_power(10_000.0) == SUPPLY
    assert meter.running.available_power(50.0) == 0.0
    meter.run(25, 100.0)
    assert meter.running.available_power(10_000.0) == SUPPLY
    meter.run(10, 100.0)
    assert (meter.rest, meter.running.available_power(10_000.0)) == (25, None)


@lengths
def test_gap_counts_by_the_register(length: timedelta) -> None:
    """Count the energy of a gap, above and below the powers that were received."""
    for power in (200.0, 8000.0):
        meter = Meter(length)
        meter.run(length.total_seconds(), 1000.0)
        meter.run(120, 1000.0)
        meter.skip(600, power)
        meter.run(20, 1000.0)
        mean = (1000 * 140 + power * 600) / 740
        assert meter.running.demand == pytest.approx(mean, rel=0.05)


@lengths
def test_unknown_start_counts_as_the_known_part(length: timedelta) -> None:
    """Return the mean power since the first reading when the interval has begun in a gap."""
    meter = Meter(length)
    meter.run(length.total_seconds() - 300, 1000.0)
    meter.skip(600, 1000.0)
    meter.run(150, 1000.0)
    meter.run(150, 3000.0)
    assert meter.running.demand == pytest.approx(2000, rel=0.1)


@pytest.mark.parametrize("seconds", [61, 120, 299])
@pytest.mark.parametrize("power", [0.0, 3500.0])
@kinds
@lengths
def test_expected_demand_follows_the_power_after_a_gap(
    length: timedelta, kind: str, power: float, seconds: float
) -> None:
    """Expect the power of the readings, without the energy that was not received in a gap."""
    meter = Meter(length, kind=kind)
    meter.run(length.total_seconds() + 100, 3500.0)
    meter.skip(seconds, power)
    meter.run(10, 3500.0)
    demand, part = meter.running.demand, meter.rest / length.total_seconds()
    assert demand is not None
    assert meter.running.expected_demand == pytest.approx(demand * (1 - part) + 3500 * part, abs=1)
    if kind == "always":
        # The register at the start of the interval is from the telegram before it.
        mean = (120 * 3500 + seconds * power) / (110 + seconds)
        assert demand == pytest.approx(min(mean, 3500), abs=40)


@pytest.mark.parametrize("seconds", [100, 320])
@kinds
@lengths
def test_current_interval_survives_a_clock_correction(length: timedelta, kind: str, seconds: float) -> None:
    """Keep the demand when the times of the interval are removed, and expect no demand above the powers."""
    meter = Meter(length, kind=kind)
    meter.run(1.5 * length.total_seconds(), 2000.0)
    assert meter.history.last is not None
    last = meter.history.last.time
    for n in range(3):
        time = last + timedelta(seconds=seconds + 10 * n)
        reading = validated_reading(time, 10.0, wrong_period=None if n else Period(START, last))
        register = REGISTER + 1e4 + n * 2000 / 360 if kind == "always" else None
        meter.history.update(reading, register, 2000.0)
        meter.running.update(meter.history.last, None)
        assert meter.running.demand == pytest.approx(2000)
        assert meter.running.expected_demand == pytest.approx(2000, abs=10)


@kinds
@lengths
def test_restored_interval_continues(length: timedelta, kind: str) -> None:
    """Return the same demand after a restart within an interval."""
    meter, other = Meter(length, kind=kind), Meter(length, kind=kind)
    for each in (meter, other):
        each.run(length.total_seconds() + 60, 1000.0)
        each.run(120, 4000.0)
    other.restart()
    for each in (meter, other):
        each.run(120, 500.0)
    assert other.running.start == meter.running.start
    if kind == "always":
        assert other.running.demand == pytest.approx(meter.running.demand, abs=1)
    assert 500 <= (other.running.demand or 0) <= 4000


def test_stored_interval_that_has_ended_is_not_restored() -> None:
    """Start again when the last reading is not of the stored interval, or is unknown."""
    meter = Meter(QUARTER)
    meter.run(300, 1000.0)
    data = meter.running.as_dict()
    assert data is not None
    for last in (None, Point(START + QUARTER, 0.0, 0.0, 0.0)):
        running = empty(QUARTER)
        running.restore(data, last)
        assert (running.start, running.demand) == (None, None)


def test_demand_stays_when_the_gap_is_not_counted_yet() -> None:
    """Keep the demand within the powers after a gap until an hourly register counts it."""
    meter = Meter(HOUR, kind="hour")
    meter.run(2 * 3600 + 600, 3500.0)
    meter.skip(1500, 3500.0)
    meter.run(60, 3500.0)
    assert meter.running.demand == pytest.approx(3500, abs=10)
