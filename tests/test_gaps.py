"""When nobody listened to the meter, also when somebody sets the clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import json

import pytest

from custom_components.energy_sse.power_tariff.boundaries import Gap
from custom_components.energy_sse.power_tariff.gaps import Gaps
from custom_components.energy_sse.reader import Freshness, clock

BEGIN = datetime(2026, 11, 10, 7, tzinfo=UTC)

# Seconds.
INTERVAL = 30
PAUSE = 120


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def silence(start: float, end: float) -> Gap:
    """Return the gap between two readings: it begins when the next one was due."""
    return Gap(at(start + INTERVAL), at(end))


class Wall:
    """A clock on the wall, and one that nobody sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 1000.0
        self.error = 0.0
        monkeypatch.setattr(clock, "now", lambda: self.passed)

    def wait(self, seconds: float) -> datetime:
        """Let time pass. Returns what the clock on the wall says."""
        self.passed += seconds
        return self.now

    @property
    def now(self) -> datetime:
        return at(self.passed - 1000 + self.error)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


@pytest.fixture
def make_gaps(wall: Wall) -> Callable[[], Gaps]:
    """Return what makes the gaps of a meter that speaks every half a minute, of which nothing is known."""

    def make() -> Gaps:
        freshness = Freshness()
        freshness.announced_interval = INTERVAL
        return Gaps(freshness)

    return make


@pytest.fixture
def gaps(make_gaps: Callable[[], Gaps], wall: Wall) -> Gaps:
    """Return those after a first reading at zero seconds."""
    gaps = make_gaps()
    assert gaps.note(wall.now)
    return gaps


def test_pause_that_is_none_is_no_gap(gaps: Gaps, wall: Wall) -> None:
    assert not gaps.note(wall.wait(PAUSE))
    assert not gaps.until(wall.wait(PAUSE))
    assert gaps.first == at(0)


def test_gap_begins_when_the_next_reading_was_due(gaps: Gaps, wall: Wall) -> None:
    assert gaps.note(wall.wait(PAUSE + 1))
    assert gaps.known == [silence(0, PAUSE + 1)]


def test_silence_that_goes_on_is_a_gap_so_far(gaps: Gaps, wall: Wall) -> None:
    gaps.note(wall.wait(500))
    assert gaps.until(wall.wait(600)) == [silence(0, 500), silence(500, 1100)]
    assert gaps.known == [silence(0, 500)]


@pytest.mark.parametrize(("seconds", "follows"), [(0, True), (60, True), (61, False), (-1, False)])
def test_only_what_follows_at_once_can_do_without_a_look(
    gaps: Gaps, wall: Wall, seconds: float, *, follows: bool
) -> None:
    assert gaps.note_next(wall.wait(seconds)) == follows


def test_reading_without_a_look_is_noted_all_the_same(gaps: Gaps, wall: Wall) -> None:
    for _ in range(10):
        assert gaps.note_next(wall.wait(60))
    assert not gaps.until(wall.wait(PAUSE))
    assert not gaps.is_clock_set(wall.now)
    gaps.note(wall.wait(1))
    assert gaps.known == [silence(600, 601 + PAUSE)]


def test_first_reading_follows_nothing(make_gaps: Callable[[], Gaps], wall: Wall) -> None:
    gaps = make_gaps()
    assert not gaps.note_next(wall.now)
    assert not gaps.is_clock_set(wall.now)
    assert not gaps.until(wall.wait(10_000))


@pytest.mark.parametrize(("error", "is_set"), [(60, False), (-60, False), (61, True), (-61, True)])
def test_clock_is_set_when_it_has_gone_on_by_more_or_less_than_the_time(
    gaps: Gaps, wall: Wall, error: float, *, is_set: bool
) -> None:
    wall.error = error
    assert gaps.is_clock_set(wall.wait(3600)) == is_set


def test_clock_that_is_set_ahead_is_a_new_beginning(gaps: Gaps, wall: Wall) -> None:
    gaps.note(wall.wait(500))
    gaps.settle(gaps.known)
    wall.error = 7200
    assert gaps.note(wall.wait(30))
    assert gaps.first == at(530 + 7200)
    assert gaps.known == [silence(0, 500)]
    assert gaps.unheard(at(-3600), wall.now) == (at(500), at(530 + 7200))


def test_clock_that_is_set_back_forgets_what_is_yet_to_come(gaps: Gaps, wall: Wall) -> None:
    gaps.note(wall.wait(500))
    gaps.note(wall.wait(500))
    gaps.settle(gaps.known)
    wall.error = -600
    assert gaps.note(wall.wait(30))
    # It is 430 seconds: the first gap is not over yet, the second one has not begun.
    assert gaps.known == [silence(0, 430)]
    assert gaps.unheard(at(-3600), wall.now) == (at(-3600), at(430))


def test_recorder_tells_of_what_was_before_the_first_reading(
    make_gaps: Callable[[], Gaps], wall: Wall
) -> None:
    gaps = make_gaps()
    assert gaps.unheard(at(-100), wall.now) == (at(-100), at(0))
    gaps.note(wall.wait(10))
    wall.wait(1000)
    assert gaps.unheard(at(-100), wall.now) == (at(-100), at(10))
    assert gaps.unheard(at(10), wall.now) is None


def test_what_has_been_found_out_is_not_asked_again(gaps: Gaps, wall: Wall) -> None:
    gaps.note(wall.wait(60))
    gaps.settle([Gap(at(-500), at(-200))])
    assert gaps.known == [Gap(at(-500), at(-200))]
    assert gaps.unheard(at(-3600), wall.now) is None


def test_gaps_of_before_a_time_are_forgotten(gaps: Gaps, wall: Wall) -> None:
    gaps.note(wall.wait(500))
    gaps.note(wall.wait(500))
    gaps.forget(at(500))
    assert gaps.known == [silence(500, 1000)]


@pytest.mark.parametrize("is_settled", [True, False])
def test_restart_loses_nothing_and_leaves_the_time_between_to_the_recorder(
    gaps: Gaps, make_gaps: Callable[[], Gaps], wall: Wall, *, is_settled: bool
) -> None:
    gaps.note(wall.wait(500))
    if is_settled:
        gaps.settle(gaps.known)
    gaps.note(wall.wait(60))
    memory = json.loads(json.dumps(gaps.memory))
    later = make_gaps()
    later.recall(memory)
    later.note(wall.wait(1000))
    assert later.known == [silence(0, 500)]
    # What was heard since it was found out for good is known, too.
    assert later.unheard(at(-3600), wall.now) == (at(560 if is_settled else -3600), at(1560))


def test_restart_before_anything_was_heard_keeps_what_was_known(
    gaps: Gaps, make_gaps: Callable[[], Gaps], wall: Wall
) -> None:
    gaps.settle(gaps.known)
    before = gaps.memory
    deaf = make_gaps()
    deaf.recall(before)
    assert deaf.memory == before
    assert deaf.unheard(at(-3600), wall.wait(1000)) == (at(0), at(1000))


def test_gap_that_was_known_by_a_clock_ahead_ends_with_the_first_reading(
    make_gaps: Callable[[], Gaps], wall: Wall
) -> None:
    gaps = make_gaps()
    gaps.recall({"heard_until": at(900).timestamp(), "gaps": [(at(-100).timestamp(), at(800).timestamp())]})
    gaps.note(wall.wait(5))
    assert gaps.known == [Gap(at(-100), at(5))]
    assert gaps.unheard(at(-3600), wall.now) == (at(-3600), at(5))
