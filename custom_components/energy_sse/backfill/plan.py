"""Plan the rows of the long-term statistics for hours without readings.

Knows the recorder's arithmetic, but not the recorder: a row holds the register at the end of its hour
(`state`) and a running total (`sum`), and an hour's energy is the difference of two sums. As long as the
meter is the same, `sum - state` is one number along the whole series, here called the offset. So the right
row of an hour follows from the register at its end alone, and the hours around it stay what they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from ..reader import Unit
from ..reader.registers import LARGEST_RISE_PER_HOUR

HOUR: Final = timedelta(hours=1)

# Wh. Registers count whole Wh; what is less is the noise of sums of binary fractions.
_TOLERANCE: Final = 0.5

# Wh. What is more is another meter.
_LARGEST_RISE: Final = LARGEST_RISE_PER_HOUR[Unit.WATT_HOUR]


@dataclass(frozen=True, slots=True)
class Row:
    """What the recorder keeps of an hour, or of five minutes."""

    start: datetime
    state: float
    """The register at the end."""

    sum: float

    @property
    def hour_end(self) -> datetime:
        """The end of an hour's row."""
        return self.start + HOUR

    @property
    def offset(self) -> float:
        """What the recorder adds to the register."""
        return self.sum - self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What the recorder has of one register, in the unit that its statistics are stored in."""

    rows: Sequence[Row]
    """Its last hours, oldest first."""

    is_whole: bool
    """Whether there is nothing before `rows`."""

    latest: Row | None
    """Its last five minutes, which the next five build upon."""

    compiled_until: datetime
    """The end of the last five minutes that the recorder has compiled. It will not come back to them."""

    watt_hour: float
    """One Wh in the stored unit."""

    @property
    def tolerance(self) -> float:
        """The difference below which two numbers are the same."""
        return _TOLERANCE * self.watt_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write."""

    rows: Sequence[Row] = ()
    """Each replaces the row of its hour, or is new."""

    raise_from: datetime | None = None
    """The first own hour of a series that gets a history before it."""

    raise_by: float = 0.0
    """By how much all its sums have to be raised, so that they continue those of the history."""


class TooEarlyError(Exception):
    """The recorder has yet to compile what the plan depends on."""


class NoFitError(Exception):
    """The registers and the rows around them do not tell the same story."""


def plan_rows(
    full_hours: Sequence[datetime], registers: Mapping[datetime, float], now: float, series: Series
) -> Plan:
    """Return what to write for the hours that end at some full hours, all of the same silence.

    `registers` are by full hour, and `now` is the register as it was last heard, all in the stored unit.
    Raises TooEarlyError or NoFitError.
    """
    if series.latest is None or series.compiled_until < full_hours[-1]:
        # A row that is there before the recorder's own would make it drop this hour, of all sensors.
        raise TooEarlyError
    known = {end: registers[end] for end in full_hours if end in registers}
    witnesses = _witnesses(full_hours, series.rows)
    if witnesses.before is None and not series.is_whole:
        raise NoFitError("there is nothing before them to continue")
    _check_sums(witnesses, series.latest, series.tolerance)
    _check_registers(witnesses, known, now, series)
    offset = series.latest.offset
    raise_from, raise_by = _continue_history(full_hours, known, witnesses, offset)
    if raise_from is not None:
        # The first hour of a history is the first of which both ends are known. Its change is its own sum.
        del known[min(known)]
        if abs(raise_by) <= series.tolerance:
            raise_from, raise_by = None, 0.0
    rows = _missing_rows(full_hours, known, witnesses.inside, series.tolerance)
    return Plan(
        rows=tuple(Row(end - HOUR, register, register + offset + raise_by) for end, register in rows),
        raise_from=raise_from,
        raise_by=raise_by,
    )


class _Witnesses(NamedTuple):
    """The rows that tell what was before, in and after a silence."""

    before: Row | None
    inside: Mapping[datetime, Row]
    """By the end of their hour."""

    after: Row | None


def _witnesses(full_hours: Sequence[datetime], rows: Sequence[Row]) -> _Witnesses:
    first, last = full_hours[0], full_hours[-1]
    return _Witnesses(
        before=next((row for row in reversed(rows) if row.hour_end < first), None),
        inside={row.hour_end: row for row in rows if first <= row.hour_end <= last},
        after=next((row for row in rows if row.hour_end > last), None),
    )


def _check_sums(witnesses: _Witnesses, latest: Row, tolerance: float) -> None:
    """Raise NoFitError unless all sums continue each other."""
    rows = (witnesses.before, *witnesses.inside.values(), witnesses.after, latest)
    offsets = [row.offset for row in rows if row is not None]
    if any(abs(one - other) > tolerance for one, other in pairwise(offsets)):
        raise NoFitError("the sums before and after them do not continue each other")


def _check_registers(
    witnesses: _Witnesses, known: Mapping[datetime, float], now: float, series: Series
) -> None:
    """Raise NoFitError unless the known registers continue the rows, and the rows the registers."""
    states = {row.hour_end: row.state for row in (witnesses.before, witnesses.after) if row is not None}
    _check_growth(dict(sorted({**states, **known}.items())), now, series)
    for end, row in witnesses.inside.items():
        if end in known and row.state > known[end] + series.tolerance:
            raise NoFitError("a register is lower than what was heard before")


def _continue_history(
    full_hours: Sequence[datetime], known: Mapping[datetime, float], witnesses: _Witnesses, offset: float
) -> tuple[datetime | None, float]:
    """Return from which hour on, and by how much, sums have to be raised to continue a history before them.

    None where there is no such history: the series has rows before, or begins before the registers do.
    """
    own_begin = min((row.start for row in witnesses.inside.values()), default=full_hours[-1])
    begin = min(known)
    if witnesses.before is not None or begin > own_begin:
        return None, 0.0
    return own_begin, -known[begin] - offset


def _missing_rows(
    full_hours: Sequence[datetime],
    known: Mapping[datetime, float],
    inside: Mapping[datetime, Row],
    tolerance: float,
) -> Iterator[tuple[datetime, float]]:
    """Yield the ends of the hours that lack a row or have one that is too low, with the right register.

    An hour without a known register repeats the one before, so that the next known one gets their energy.
    """
    register = None
    for end in full_hours:
        register = known.get(end, register)
        row = inside.get(end)
        if register is None:
            continue
        if (row is None and end in known) or (row is not None and register - row.state > tolerance):
            yield end, register


def _check_growth(states: Mapping[datetime, float], now: float, series: Series) -> None:
    """Raise NoFitError unless a register goes through some states as registers do."""
    for (one_end, one), (other_end, other) in pairwise(states.items()):
        if other < one - series.tolerance:
            raise NoFitError("the register falls")
        if other - one > _LARGEST_RISE * series.watt_hour * ((other_end - one_end) / HOUR):
            raise NoFitError("the register rises faster than a household supply allows")
    if now < max(states.values()) - series.tolerance:
        raise NoFitError("the register has fallen since")
