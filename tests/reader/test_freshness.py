"""Time for which a reading counts as current."""

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


def test_announced_interval_is_used_until_one_is_learned() -> None:
    freshness = Freshness()
    freshness.announce(60)
    freshness.note(1000)
    assert (freshness.limit, freshness.idle_timeout) == (240, 180)
    freshness.note(1005)
    assert freshness.limit == 60


def test_long_announced_interval_is_used_at_once() -> None:
    """Wait for a meter that sends every ten minutes from the start."""
    freshness = Freshness()
    freshness.announce(600)
    for now in (0, 1200):
        freshness.note(now)
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
        freshness.note(now)
        learned.append(freshness.interval)
    assert learned == intervals
    assert freshness.limit == limit
