"""Validation of values: each has bounds, and registers only grow."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
import logging
import math
from typing import Final, NamedTuple

from .models import Measurement, Unit
from .payload import is_number

_LOGGER = logging.getLogger(__name__)

# In one hour, in the register's unit. Three phases of 290 A: no house has a supply like that, and a broken
# telegram is mostly off by far more.
MAX_RISE_PER_HOUR: Final[Mapping[Unit, float]] = {
    Unit.WATT_HOUR: 200_000.0,
    Unit.KILOWATT_HOUR: 200.0,
    Unit.VAR_HOUR: 200_000.0,
    Unit.KILOVAR_HOUR: 200.0,
}

# Wh in one hour, the same for the register histories, which know Wh only.
MAX_ENERGY_PER_HOUR: Final = MAX_RISE_PER_HOUR[Unit.WATT_HOUR]

# Of each unit. The power is that of three phases of 290 A, as for the registers. A phase has 230 V, or 400 V
# between two phases. Energy: that power for thirty years, the longest that a meter is approved for.
BOUNDS: Final[Mapping[Unit, tuple[float, float]]] = {
    Unit.WATT: (-200_000.0, 200_000.0),
    Unit.KILOWATT: (-200.0, 200.0),
    Unit.VAR: (-200_000.0, 200_000.0),
    Unit.KILOVAR: (-200.0, 200.0),
    Unit.AMPERE: (-290.0, 290.0),
    Unit.VOLT: (0.0, 500.0),
    Unit.WATT_HOUR: (-math.inf, 52.6e9),
    Unit.KILOWATT_HOUR: (-math.inf, 52.6e6),
    Unit.VAR_HOUR: (-math.inf, 52.6e9),
    Unit.KILOVAR_HOUR: (-math.inf, 52.6e6),
}

# One Wh in each unit of a register.
_ONE: Final[Mapping[Unit, float]] = {
    Unit.WATT_HOUR: 1.0,
    Unit.KILOWATT_HOUR: 0.001,
    Unit.VAR_HOUR: 1.0,
    Unit.KILOVAR_HOUR: 0.001,
}

# Resolutions that a register can change to, as factors of one Wh.
_COARSER: Final = (10.0, 100.0, 1000.0)

# Seconds that are allowed in addition, because a telegram can be late, and the next one in time.
_GRACE: Final = 60.0


class _Proof(NamedTuple):
    """Readings in a row, and seconds, that prove a register that contradicts the last one.

    Both are needed, because some meters send every second. Each wrong telegram is wrong in its own way, but a
    reader can repeat one for a while.
    """

    readings: int
    seconds: float


_LOWER: Final = _Proof(5, 180.0)

# Accepting a wrong high register takes a second replacement to correct.
_HIGHER: Final = _Proof(20, 300.0)

# The duration of a restart was measured by a clock that may have been wrong. Some meters repeat their
# register, and then send the energy of an hour or a day in one step.
_LARGE_STEP: Final = _Proof(5, 60.0)

# One Wh each. A higher rise during a restart is a meter replacement, whatever the clock says: an outage of
# ten days with 4 kW.
_MAX_RISE_DURING_A_RESTART: Final = 1_000_000.0

# Times, of one register. A meter is exchanged every ten years.
_MAX_LOGGED_REPLACEMENTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterLimits:
    """What a register can do."""

    rise_per_hour: float = math.inf
    """At most, in the register's unit."""

    max_repeat_age: float = 0.0
    """Seconds for which an old value may be told again as if it were new, right or wrong."""

    resolution: float | None = None
    """One Wh in the register's unit, for the registers of electricity meters.

    Their first zero has to be proved, because old firmware fills with zeros. A lower register can be the same
    one in a coarser resolution.
    """


@dataclass(slots=True)
class _Register:
    value: float
    time: float
    changed: float
    """When the value changed, or was first received."""

    is_remembered: bool = False
    """Whether it was last heard before a restart."""


@dataclass(slots=True)
class _Candidate:
    """A value that is doubted, but keeps coming."""

    value: float
    time: float
    since: float
    first: float
    readings: int = 0
    rises_too_fast: bool = False


class RegisterValidator[K: Hashable]:
    """Lets the values of registers through that a meter can have counted.

    Takes every register for itself. A zero after a real value, a value below the last one, and a rise beyond
    the register's limit are dropped and counted. What repeats for several readings is believed: the meter was
    exchanged, or counts in another unit than the wire says. A zero is believed only together with another
    register of the same reading, for old firmware fills with zeros what it does not know.

    All times are seconds of one clock.
    """

    def __init__(self, limits: Mapping[K, RegisterLimits], *, label: str | None = None) -> None:
        """Start without knowing any value. What has no limits is no register, and is let through.

        `label` is what a register is called in the log, where its own key would tell whose it is.
        """
        self.dropped: Counter[str] = Counter()
        """Values, by the reason."""

        self.replaced: dict[K, tuple[float, float, float]] = {}
        """Meter replacements that the last reading has confirmed.

        The last register of the old meter, the first one of the new meter, and the seconds since then.
        """

        self._limits = dict(limits)
        self._label = label
        self._registers: dict[K, _Register] = {}
        self._candidates: dict[K, _Candidate] = {}
        self._begun: Counter[K] = Counter()

    def add_register(self, register: K, limits: RegisterLimits) -> None:
        """Doubt one more register from now on."""
        self._limits.setdefault(register, limits)

    @property
    def registers(self) -> Mapping[K, float]:
        """The last values that were believed."""
        return {key: register.value for key, register in self._registers.items()}

    @property
    def last_received(self) -> Mapping[K, float]:
        """When each register was last believed. Leaves out what is only remembered."""
        return {key: register.time for key, register in self._registers.items() if not register.is_remembered}

    def restore(self, register: K, value: object, time: float | None) -> None:
        """Take a value for known that was believed before a restart; None where nobody knows when."""
        if register in self._limits and is_number(value):
            # After an unknown time any rise is possible.
            time = -math.inf if time is None else time
            self._registers[register] = _Register(value, time, time, is_remembered=True)

    def validate(
        self, values: Mapping[K, float], time: float, *, is_repeated: bool = False
    ) -> dict[K, float]:
        """Return the values of one reading without those that cannot be.

        `is_repeated` tells that the device says again what it has said before.
        """
        believed = dict(values)
        doubted = []
        self.replaced.clear()
        for register in values.keys() & self._limits.keys():
            value = values[register]
            last = self._registers.get(register)
            if not self._candidates and last and last.value == value and not last.is_remembered:
                # Most registers rise once in many readings: no doubt, and half of the work of a reading less.
                last.time = time
                continue
            if last is not None and self._is_rounded(register, value, last.value):
                believed[register] = last.value
                self._accept(register, last.value, time)
            elif reason := self._doubt(register, value, time):
                del believed[register]
                if is_repeated and last is not None:
                    # From before a restart. It does not prove which meter is there now.
                    continue
                if last is not None or reason != "zero":
                    # A first zero is only held back.
                    self.dropped[reason] += 1
                if value >= 0 and not self._is_slightly_lower(register, value):
                    doubted.append(register)
            else:
                self._accept(register, value, time)
        for register in self._repeated(doubted, values, time):
            self._note_replacement(register, time)
            believed[register] = values[register]
            self._accept(register, values[register], time)
        return believed

    def _note_replacement(self, register: K, time: float) -> None:
        last = self._registers.get(register)
        if last is None:
            return
        candidate = self._candidates[register]
        if self._is_large_step(register, last, candidate):
            _LOGGER.debug("%s rose in one step", self._label or register)
            return
        self._say_that_it_begins_anew(register)
        self.replaced[register] = last.value, candidate.first, time - candidate.since

    def _is_large_step(self, register: K, last: _Register, candidate: _Candidate) -> bool:
        """Return whether the same meter can have counted the rise during a restart, or in one step."""
        limits = self._limits[register]
        if last.is_remembered:
            largest = _MAX_RISE_DURING_A_RESTART * (limits.resolution or 1.0)
        else:
            largest = limits.rise_per_hour * ((candidate.since - last.changed) / 3600)
        return 0 <= candidate.value - last.value <= largest

    def _say_that_it_begins_anew(self, register: K) -> None:
        """Log it, a few times: what changes again and again must not fill the log."""
        self._begun[register] += 1
        if self._begun[register] <= _MAX_LOGGED_REPLACEMENTS:
            name = self._label or register
            _LOGGER.warning("Another meter is believed to be there now: %s starts anew", name)

    def _doubt(self, register: K, value: float, time: float) -> str | None:
        """Return why a value cannot be, or None."""
        last = self._registers.get(register)
        if value < 0:
            return "negative"
        if last is None:
            return "zero" if value == 0 and self._limits[register].resolution else None
        if value == 0 < last.value:
            return "zero"
        if value < last.value:
            return "lower"
        if self._rises_too_fast(register, last, value, time):
            return "higher than possible"
        return None

    def _is_rounded(self, register: K, value: float, last: float) -> bool:
        """Return whether a value is the last one in a coarser resolution."""
        one = self._limits[register].resolution
        return (
            one is not None
            and 0 < value < last
            and any(abs(last // (one * n) * n * one - value) < one / 100 for n in _COARSER)
        )

    def _is_slightly_lower(self, register: K, value: float) -> bool:
        """Return whether a value is lower by less than the coarsest resolution: it is the same meter."""
        one, last = self._limits[register].resolution, self._registers.get(register)
        if one is None or last is None or value == 0:
            return False
        return 0 < last.value - value < one * _COARSER[-1]

    def _rises_too_fast(self, register: K, last: _Register | _Candidate, value: float, time: float) -> bool:
        limits = self._limits[register]
        hours = (max(time - last.time, 0.0) + limits.max_repeat_age + _GRACE) / 3600
        return value > last.value + limits.rise_per_hour * hours

    def _accept(self, register: K, value: float, time: float) -> None:
        candidate = self._candidates.pop(register, None)
        if candidate is not None and candidate.value == value and candidate.rises_too_fast:
            # It keeps rising in steps that no household supply can make: a wrong unit. Limiting its rise
            # would only drop everything.
            self._limits[register] = replace(self._limits[register], rise_per_hour=math.inf)
        last, changed = self._registers.get(register), time
        if last is not None and last.value == value and not last.is_remembered:
            changed = last.changed
        self._registers[register] = _Register(value, time, changed)

    def _repeated(self, doubted: Iterable[K], values: Mapping[K, float], time: float) -> list[K]:
        """Return the doubted registers whose values have kept coming for long enough."""
        repeated = []
        for register in doubted:
            value, last = values[register], self._registers.get(register)
            candidate = self._candidates.get(register)
            # Since when it has kept coming, a clock that has jumped back does not tell.
            if candidate is None or value < candidate.value or time < candidate.since:
                candidate = self._candidates[register] = _Candidate(value, time, since=time, first=value)
            candidate.rises_too_fast = self._rises_too_fast(register, candidate, value, time)
            if candidate.rises_too_fast:
                candidate.first = value
            candidate.value, candidate.time = value, time
            candidate.readings += 1
            proof = self._proof(register, last, candidate)
            seconds = (
                proof.seconds if last is None else max(proof.seconds, self._limits[register].max_repeat_age)
            )
            if candidate.readings >= proof.readings and time - candidate.since >= seconds:
                repeated.append(register)
        is_proved = any(values[register] or register not in self._registers for register in repeated)
        return repeated if is_proved else []

    def _proof(self, register: K, last: _Register | None, candidate: _Candidate) -> _Proof:
        if last is None or candidate.value < last.value:
            return _LOWER
        if last.is_remembered or self._is_large_step(register, last, candidate):
            return _LARGE_STEP
        return _HIGHER


def is_possible(value: float, unit: Unit) -> bool:
    """Return whether a household supply can carry a value."""
    low, high = BOUNDS.get(unit, (-math.inf, math.inf))
    return low <= value <= high


def limits_of_meter(units: Mapping[Measurement, Unit]) -> dict[Measurement, RegisterLimits]:
    """Return the limits of an electricity meter. Which measurements are registers, their units tell."""
    return {
        measurement: RegisterLimits(rise_per_hour=MAX_RISE_PER_HOUR[unit], resolution=_ONE[unit])
        for measurement, unit in units.items()
        if unit in MAX_RISE_PER_HOUR
    }
