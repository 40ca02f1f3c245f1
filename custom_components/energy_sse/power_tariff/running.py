"""Follow the running interval: what has been imported in it so far, from readings alone.

Knows no Home Assistant. Energies are Wh, powers are W.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .boundaries import LARGEST_RISE, Exchange, exchange
from .demand import HOUR, Interval, Outlook, start_of

# As the guard of the registers grants it.
_GRACE: Final = timedelta(minutes=1)


class RunningInterval:
    """Follows the import from reading to reading, by the register where each reading has it.

    A meter that sends its registers once an hour is followed by its power over time. What was imported
    before the first reading of an interval is taken for as much as was imported since, until it is known.
    """

    def __init__(self, length: timedelta) -> None:
        """Start without having heard anything."""
        self._length = length
        self._start: datetime | None = None
        self._since: datetime | None = None
        """From when in the interval it is known what was imported."""

        self._is_estimated = False
        """Whether no reading arrived as the interval began, so that the energy until `_since` is a guess."""

        self._energy = 0.0
        """Since then."""

        self._at: datetime | None = None
        self._power = 0.0
        self._register: float | None = None
        self._has_registers = False

    @property
    def start(self) -> datetime | None:
        """When the interval began, of which the last reading was."""
        return self._start

    def take(
        self, at: datetime, power: float, register: float | None, *, is_missed: bool
    ) -> tuple[Exchange | None, Interval | None]:
        """Take in a reading; `register` is None where it has none.

        `is_missed` tells whether readings before it were missed. Returns an exchange of the meter and the
        interval that is over, when it tells them.
        """
        if self._start is not None and at < self._start:
            # Somebody has set the clock back.
            self._start = self._at = None
        energy, found = self._imported(at, power, register)
        ended = None
        if self._start is None or at >= self._start + self._length:
            ended = self._begin(start_of(at, self._length), at, energy, is_missed=is_missed)
        else:
            self._energy += energy
        self._at, self._power = at, power
        self._has_registers = register is not None and self._register is not None
        self._register = register
        return found, ended

    def _begin(self, start: datetime, at: datetime, energy: float, *, is_missed: bool) -> Interval | None:
        """Begin an interval with what was imported since the last reading. Returns the one that is over."""
        last = self._at
        if last is None or not start - self._length <= last < start:
            self._start, self._is_estimated = start, True
            is_inside = last is not None and last >= start
            self._since, self._energy = (last, energy) if is_inside else (at, 0.0)
            return None
        share = (at - start) / (at - last)
        if self._has_registers and not is_missed:
            # The recorder gives all up to the last reading before a boundary to the interval before it.
            share = 1.0
        ended = None if is_missed else self._ended(start, (1 - share) * energy)
        self._start = self._since = start
        self._energy, self._is_estimated = share * energy, is_missed
        return ended

    def _ended(self, end: datetime, energy: float) -> Interval | None:
        """Return the interval that ends with some more energy; None where nobody heard its beginning."""
        start = end - self._length
        if self._is_estimated or not self._since == self._start == start:
            return None
        return Interval(start, self._energy + energy, is_missed=False)

    def _imported(self, at: datetime, power: float, register: float | None) -> tuple[float, Exchange | None]:
        """Return what was imported since the last reading."""
        if self._at is None:
            return 0.0, None
        duration = max(at - self._at, timedelta())
        if register is None or self._register is None:
            return (self._power + power) / 2 * (duration / HOUR), None
        rise = register - self._register
        if 0 <= rise <= LARGEST_RISE * ((duration + _GRACE) / HOUR):
            return rise, None
        return 0.0, exchange(at, self._register, register)

    def know_start(self, start: datetime, register: float) -> None:
        """Learn what the register was when the interval began, if it was not heard."""
        if self._is_estimated and start == self._start and self._register is not None:
            self._since, self._is_estimated = start, False
            self._energy = max(self._register - register, 0.0)

    @property
    def outlook(self) -> Outlook | None:
        """What becomes of the interval, as of the last reading; None before there is one."""
        if self._start is None or self._since is None or self._at is None:
            return None
        elapsed, heard = self._at - self._start, self._at - self._since
        # A part that was not heard counts as the part that was.
        energy = self._energy * (elapsed / heard) if heard else self._power * (elapsed / HOUR)
        return Outlook(self._length, elapsed, energy, self._power)

    # ---------------------------------------------------------------------------------------- memory

    @property
    def memory(self) -> dict[str, Any] | None:
        """What to recall after a restart, as JSON can hold it."""
        if self._start is None or self._since is None or self._at is None:
            return None
        return {
            "start": self._start.isoformat(),
            "since": self._since.isoformat(),
            "at": self._at.isoformat(),
            "is_estimated": self._is_estimated,
            "energy": self._energy,
            "power": self._power,
            "register": self._register,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Take up what was known before a restart, of an interval of any length."""
        at, start, since = (
            datetime.fromisoformat(memory[key]).astimezone(UTC) for key in ("at", "start", "since")
        )
        power, energy = float(memory["power"]), float(memory["energy"])
        register = None if memory["register"] is None else float(memory["register"])
        self._at, self._power, self._register = at, power, register
        self._has_registers = register is not None
        if start == start_of(at, self._length):
            self._start, self._energy, self._since = start, energy, since
            self._is_estimated = bool(memory["is_estimated"])
