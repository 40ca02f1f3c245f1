"""How long a reading is believed."""

import pytest

from custom_components.energy_sse.reader import Freshness


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
        freshness.note(1000 + n * interval)
    assert freshness.interval == interval
    assert freshness.limit == limit
    assert freshness.remaining(1000 + 4 * interval + limit - 1) == 1
    assert freshness.remaining(1000 + 4 * interval + limit) == 0


def test_one_long_gap_is_an_outage_and_two_are_how_the_meter_speaks() -> None:
    freshness = Freshness()
    now = 0.0
    intervals = []
    for gap in [0, 10, 10, 70, 10, 70, *[10] * 7, 10]:
        now += gap
        freshness.note(now)
        intervals.append(freshness.interval)
    assert intervals == [None, 10, 10, 10, 10, *[70] * 6, *[10] * 3]


def test_interval_that_the_device_announces_counts_until_it_is_learned() -> None:
    freshness = Freshness()
    freshness.announced_interval = 60
    freshness.note(1000)
    assert (freshness.limit, freshness.idle_timeout) == (240, 180)
    freshness.note(1005)
    assert freshness.limit == 60


def test_long_interval_that_the_device_announces_counts_at_once() -> None:
    """Wait for a meter that sends every ten minutes from the start."""
    freshness = Freshness()
    freshness.announced_interval = 600
    for now in (0, 1200):
        freshness.note(now)
        assert (freshness.interval, freshness.limit, freshness.idle_timeout) == (600, 900, 675)


def test_outage_says_nothing_about_the_interval() -> None:
    freshness = Freshness()
    for now in (0, 10, 20, 2000, 2010, 5000, 5010, 8000):
        freshness.note(now)
        assert freshness.interval in (None, 10)
        assert freshness.limit == 60


def test_first_gap_says_nothing_when_it_is_long() -> None:
    """Learn nothing from one long gap: it can be an outage."""
    freshness = Freshness()
    for now in (0, 1200):
        freshness.note(now)
    assert (freshness.interval, freshness.limit) == (None, 60)


def test_outage_of_a_slow_meter_is_not_its_interval() -> None:
    """Keep the interval of a meter that sends every six minutes over two outages."""
    freshness = Freshness()
    now = 0.0
    for gap in (0, 360, 360, 5000, 370, 9000, 365):
        now += gap
        freshness.note(now)
    assert (freshness.interval, freshness.limit) == (365, 1.5 * 365)
