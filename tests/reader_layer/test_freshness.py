"""How long a reading is believed."""

import pytest

from custom_components.energy_sse.reader import Freshness


def test_nothing_is_fresh_before_the_first_reading() -> None:
    freshness = Freshness()
    assert freshness.remaining(1000) == 0
    assert freshness.interval is None


@pytest.mark.parametrize(
    ("interval", "limit"), [(1, 60), (10, 60), (20, 80), (60, 240), (100, 300), (290, 300)]
)
def test_limit_is_a_few_intervals_between_one_minute_and_five(interval: float, limit: float) -> None:
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
    assert (freshness.limit, freshness.patience) == (240, 180)
    freshness.note(1005)
    assert freshness.limit == 60


def test_outage_says_nothing_about_the_interval() -> None:
    freshness = Freshness()
    for now in (0, 10, 20, 2000, 2010):
        freshness.note(now)
    assert freshness.interval == 10
