"""Count what the months bill, in the recorder's threads: what is asked of it, and what its answer means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from homeassistant.core import HomeAssistant

from ..backfill import Room
from .boundaries import (
    Exchange,
    Gap,
    boundaries_between,
    gaps_of_quiet_hours,
    is_in_a_gap,
    known_points,
    merged,
    possible,
    with_quarters,
    without_filled,
)
from .demand import HOUR, QUARTER, Bill, Interval, Month, Tariff, bills, intervals_between, start_of

if TYPE_CHECKING:
    # The room of the recorder is entered by its door only.
    from ..backfill.recorder import NearestReadings
    from ..backfill.totals import Recorded

# Days. The recorder keeps states for so long, unless its owner has chosen something else.
_STATES_KEPT: Final = timedelta(days=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is known of the time since `begin`, for a look into the recorder."""

    tariff: Tariff
    zone: tzinfo
    begin: datetime
    """A full hour."""

    now: datetime
    """What the recorder has of later than that is from before somebody has set the clock back."""

    unheard: Gap | None
    """The time of which only the recorder can tell when somebody listened."""

    pause: timedelta
    """The longest pause between readings that is none."""

    interval: timedelta
    """The usual interval of the readings."""

    gaps: Sequence[Gap]
    exchanges: Sequence[Exchange]
    registers: Mapping[datetime, float]
    quarters: Mapping[datetime, float]
    ended: Interval | None
    """The last interval by the readings themselves, in case the recorder has yet to compile it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the months bill, and what has been learned on the way."""

    bills: Mapping[Month, Bill]
    gaps: Sequence[Gap]
    quarters: Mapping[datetime, float]
    registers: Mapping[datetime, float]
    """What the register was at the last boundaries, where that is known."""

    until: datetime | None
    """The last boundary up to which the recorder has the total."""


def count(
    hass: HomeAssistant, room: Room, energy_id: str, power_id: str | None, question: Question
) -> Answer:
    """Count what the months bill, by what the recorder has and what is known beside it."""
    tariff, unheard = question.tariff, question.unheard
    has_quarters = tariff.interval == QUARTER
    moments: list[datetime] = []
    if unheard is not None:
        since = max(unheard.start, unheard.end - _STATES_KEPT)
        moments = list(boundaries_between(since, unheard.end, tariff.interval))
    recorded = room.read_recorded(
        hass,
        energy_id,
        power_id,
        question.begin,
        until=question.now,
        moments=moments,
        has_five_minutes=has_quarters,
    )
    gaps = merged([*question.gaps, *_gaps_told_by(recorded, question)])
    hours = possible(recorded.hours, question.registers)
    gaps = without_filled(gaps, hours, question.registers)
    # Whoever chooses hours may choose quarters again.
    quarters = _quarters_in(recorded, gaps, question) if has_quarters else question.quarters
    totals = with_quarters(hours, quarters) if has_quarters else hours
    points = known_points(totals, gaps, question.exchanges)
    intervals = list(intervals_between(points, tariff.interval))
    ended = question.ended
    if ended is not None and (not points or points[-1].time == ended.start):
        intervals.append(ended)
    return Answer(
        until=points[-1].time if points else None,
        bills=bills(tariff, intervals, question.zone),
        gaps=gaps,
        quarters=quarters,
        registers={
            total.time: total.register
            for total in [*hours[-2:], *recorded.five_minutes[-6:]]
            if not is_in_a_gap(total.time, gaps)
        },
    )


def _gaps_told_by(recorded: Recorded, question: Question) -> list[Gap]:
    """Return the gaps in the time of which only the recorder can tell."""
    unheard = question.unheard
    if unheard is None:
        return []
    gaps = [
        gap
        for moment, nearest in recorded.nearest_readings.items()
        if (gap := _gap_at(moment, nearest, unheard, question)) is not None
    ]
    # States are purged, hours are not.
    told = [moment for moment, nearest in recorded.nearest_readings.items() if nearest.before is not None]
    purged_until = min(told, default=unheard.end)
    if unheard.start < purged_until:
        hours = [total for total in recorded.hours if total.time >= unheard.start]
        gaps += gaps_of_quiet_hours(hours, recorded.lively_hours, start_of(purged_until, HOUR))
    return gaps


def _gap_at(moment: datetime, nearest: NearestReadings, unheard: Gap, question: Question) -> Gap | None:
    """Return the gap around a boundary; None where the last reading before it was heard."""
    if nearest.before is None:
        return None
    # Until then somebody has listened, whatever the states tell: what stands still is not written again.
    before, end = max(nearest.before, unheard.start), min(nearest.after or unheard.end, unheard.end)
    start = before + question.interval
    return Gap(start, end) if end - before > question.pause and start < moment else None


def _quarters_in(recorded: Recorded, gaps: Sequence[Gap], question: Question) -> Mapping[datetime, float]:
    """Return the totals at the ends of quarters, those that are remembered and those that are known now."""
    hours = {total.time: total.energy for total in recorded.hours}
    quarters = dict(question.quarters)
    for total in recorded.five_minutes:
        if total.time != start_of(total.time, QUARTER):
            continue
        is_known = not is_in_a_gap(total.time, gaps)
        # An hour that was filled in has another total than the five minutes before its end.
        is_same = abs(hours.get(total.time, total.energy) - total.energy) < 1
        if is_known and is_same:
            quarters[total.time] = total.energy
    return quarters
