"""Time for which a reading counts as current."""

import math

import pytest

from custom_components.energy_sse.reader import Freshness, ValueExpiry


def test_nothing_is_fresh_before_the_first_reading() -> None:
    freshness = Freshness()
    assert freshness.remaining(1000) == 0
    assert freshness.interval is None


@pytest.mark.parametrize(
    ("interval", "limit"),
    [(1, 60), (10, 60), (20, 80), (60, 240), (100, 300), (200, 300), (290, 435), (310, 465), (3600, 5400)],
)
def test_limit_is_a_few_intervals_between_one_minute_and_five(interval: float, limit: float) -> None:
    """Wait for four intervals, within one and five minutes, or for one interval and a half."""
    freshness = Freshness()
    for n in range(5):
        freshness.record(1000 + n * interval)
    assert freshness.interval == interval
    assert freshness.limit == limit
    assert freshness.remaining(1000 + 4 * interval + limit - 1) == 1
    assert freshness.remaining(1000 + 4 * interval + limit) == 0


def test_announced_interval_is_used_until_one_is_learned() -> None:
    freshness = Freshness()
    freshness.announce(60)
    freshness.record(1000)
    assert (freshness.limit, freshness.idle_timeout) == (240, 180)
    freshness.record(1005)
    assert freshness.limit == 60


def test_long_announced_interval_is_used_at_once() -> None:
    """Wait for a meter that sends every ten minutes from the start."""
    freshness = Freshness()
    freshness.announce(600)
    for now in (0, 1200):
        freshness.record(now)
        assert (freshness.interval, freshness.limit, freshness.idle_timeout) == (600, 900, 675)


@pytest.mark.parametrize(
    ("gaps", "intervals", "limit"),
    [
        # One long gap is an outage, and a second one is the interval of the meter.
        ([0, 10, 10, 70, 10, 70, *[10] * 10], [None, 10, 10, 10, 10, *[70] * 6, *[10] * 5], 60),
        ([0, 10, 10, 1980, 10, 2990, 10, 2990], [None, *[10] * 7], 60),
        ([0, 1200], [None, None], 60),
        # A meter that sends every six minutes has two outages.
        ([0, 360, 360, 5000, 370, 9000, 365], [None, None, 360, 360, 360, 360, 365], 1.5 * 365),
    ],
)
def test_outage_does_not_change_the_interval(
    gaps: list[float], intervals: list[float | None], limit: float
) -> None:
    freshness = Freshness()
    learned = []
    now = 0.0
    for gap in gaps:
        now += gap
        freshness.record(now)
        learned.append(freshness.interval)
    assert learned == intervals
    assert freshness.limit == limit


class Meter:
    """A meter whose values are recorded. The register is "Wh"."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.expiry = ValueExpiry[str](Freshness(), {"Wh"})

    def send(self, *keys: str, after: float = 10) -> None:
        self.now += after
        self.expiry.record(set(keys), self.now)

    def outdated(self, after: float = 0) -> str:
        return " ".join(sorted(self.expiry.outdated(self.now + after)))


def test_values_of_every_reading_expire_with_the_readings() -> None:
    meter = Meter()
    for _ in range(10):
        meter.send("W", "V", "Wh")
    assert meter.outdated(after=59) == ""
    assert meter.expiry.next_expiry(meter.now) == math.inf
    assert meter.outdated(after=60) == "V W Wh"


@pytest.mark.parametrize(("interval", "limit"), [(10, 60), (100, 300), (3600, 5400)])
def test_missing_value_expires_while_others_are_received(interval: float, limit: float) -> None:
    meter = Meter()
    for _ in range(5):
        meter.send("W", "V", after=interval)
    last = meter.now
    meter.send("W", after=interval)
    assert meter.expiry.next_expiry(meter.now) == limit - interval
    while meter.now < last + limit:
        assert meter.outdated() == ""
        meter.send("W", after=interval)
    assert meter.outdated() == "V"
    assert meter.expiry.next_expiry(meter.now) == math.inf
    meter.send("W", "V", after=interval)
    assert meter.outdated() == ""


def test_values_that_are_sent_in_turn_stay_valid() -> None:
    meter = Meter()
    for _ in range(20):
        meter.send("W")
        meter.send("P", "V")
        assert meter.outdated() == ""
    assert meter.outdated(after=79) == "W", "each is sent every 20 s"
    assert meter.outdated(after=80) == "P V W"


def test_register_that_is_sent_once_an_hour_stays_valid() -> None:
    meter = Meter()
    for _ in range(5):
        meter.send("W", "Wh")
        for _ in range(359):
            meter.send("W")
            assert meter.outdated() == ""
    for _ in range(181):
        meter.send("W")
    assert meter.outdated() == "Wh"


@pytest.mark.parametrize("first", [600, 1800, 3000])
def test_first_shorter_time_between_hourly_registers_is_ignored(first: float) -> None:
    meter = Meter()
    meter.send("W", "Wh")
    meter.send("W", after=120)
    assert meter.outdated() == ""
    for interval in (first, 3600, 3600, 3600):
        for _ in range(int(interval) // 10 - 1):
            meter.send("W")
            assert meter.outdated() == ""
        meter.send("W", "Wh")


def test_register_that_stops_expires_after_its_own_interval() -> None:
    meter = Meter()
    for _ in range(9):
        meter.send("W", "Wh")
    for _ in range(6):
        assert meter.outdated() == ""
        meter.send("W")
    assert meter.outdated() == "Wh"


def test_rare_value_stays_valid_when_its_interval_is_known() -> None:
    meter = Meter()
    outdated = 0
    for n in range(6):
        meter.send("W", "V")
        for _ in range(89):
            meter.send("W")
            outdated += n > 1 and meter.outdated() != ""
    assert outdated == 0


def test_values_that_are_complete_again_expire_with_the_readings() -> None:
    meter = Meter()
    meter.send("W")
    for _ in range(9):
        assert meter.expiry.next_expiry(meter.now) < math.inf or meter.now == 1010
        meter.send("W", "V", "Wh")
    assert meter.outdated() == ""
    assert meter.expiry.next_expiry(meter.now) == math.inf
    assert meter.outdated(after=60) == "V W Wh"


def test_values_received_in_parts_expire_separately() -> None:
    meter = Meter()
    meter.send("W")
    for _ in range(5):
        meter.send("W", "V1", "V2")
    for _ in range(6):
        meter.send("W", "V1")
    assert meter.outdated() == "V2"
