"""What can be believed of registers, which only grow: of the meter's, and of whatever else counts."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
import logging
import math
from typing import Final

from .messages import Measurement, Unit
from .payload import is_number

_LOGGER = logging.getLogger(__name__)

# In one hour, in the register's unit. Three phases of 290 A: no house has a supply like that, and a broken
# telegram is mostly off by far more.
LARGEST_RISE_PER_HOUR: Final[Mapping[Unit, float]] = {
    Unit.WATT_HOUR: 200_000.0,
    Unit.KILOWATT_HOUR: 200.0,
    Unit.VAR_HOUR: 200_000.0,
    Unit.KILOVAR_HOUR: 200.0,
}

# Seconds that are granted on top: a telegram may come late, and the next one in time.
_GRACE: Final = 60.0

# Readings in a row that agree with each other and not with the past are another meter: a broken telegram is
# broken in its own way. What is too high takes longer, for it cannot be taken back without a second dip.
_READINGS_OF_A_LOWER_REGISTER: Final = 5
_READINGS_OF_A_HIGHER_REGISTER: Final = 20

# How long a restart took tells a clock that may have been wrong, so a rise over it says less.
_READINGS_AFTER_A_RESTART: Final = 5

# Times, of one register. A meter is exchanged every ten years.
_SAID_AT_MOST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterLimits:
    """What a register can do."""

    rise_per_hour: float = math.inf
    """At most, in the register's unit."""

    repeats_for: float = 0.0
    """Seconds for which an old value may be told again as if it were new, right or wrong."""


@dataclass(slots=True)
class _Register:
    value: float
    time: float
    is_remembered: bool = False
    """Whether it was last heard before a restart."""


@dataclass(slots=True)
class _Candidate:
    """A value that is doubted, but keeps coming."""

    value: float
    time: float
    since: float
    readings: int = 0
    rises_too_fast: bool = False


class RegisterGuard[K: Hashable]:
    """Lets the values of registers through that a meter can have counted.

    Takes every register for itself. A zero after a real value, a value below the last one, and a rise beyond
    the register's limit are dropped and counted. What repeats for several readings is believed: the meter was
    exchanged, or counts in another unit than the wire says. A zero is believed only together with another
    register of the same reading, for old firmware fills with zeros what it does not know.

    All times are seconds of one clock.
    """

    def __init__(self, limits: Mapping[K, RegisterLimits], *, called: str | None = None) -> None:
        """Start without knowing any value. What has no limits is no register, and is let through.

        `called` is what a register is called in the log, where its own key would tell whose it is.
        """
        self.dropped: Counter[str] = Counter()
        """Values, by the reason."""

        self._limits = dict(limits)
        self._called = called
        self._registers: dict[K, _Register] = {}
        self._candidates: dict[K, _Candidate] = {}
        self._begun: Counter[K] = Counter()

    def watch(self, register: K, limits: RegisterLimits) -> None:
        """Doubt one more register from now on."""
        self._limits.setdefault(register, limits)

    @property
    def registers(self) -> Mapping[K, float]:
        """The last values that were believed."""
        return {key: register.value for key, register in self._registers.items()}

    @property
    def heard_at(self) -> Mapping[K, float]:
        """When each register was last believed. Leaves out what is only remembered."""
        return {key: register.time for key, register in self._registers.items() if not register.is_remembered}

    def remember(self, register: K, value: object, time: float | None) -> None:
        """Take a value for known that was believed before a restart; None where nobody knows when."""
        if register in self._limits and is_number(value):
            # After an unknown time any rise is possible.
            time = -math.inf if time is None else time
            self._registers[register] = _Register(value, time, is_remembered=True)

    def believable(
        self, values: Mapping[K, float], time: float, *, is_repeated: bool = False
    ) -> dict[K, float]:
        """Return the values of one reading without those that cannot be.

        `is_repeated` tells that the device says again what it has said before.
        """
        believed = dict(values)
        doubted = []
        for register in values.keys() & self._limits.keys():
            value = values[register]
            if not self._candidates and (last := self._registers.get(register)) and last.value == value:
                # Most registers rise once in many readings: no doubt, and half of the work of a reading less.
                last.time, last.is_remembered = time, False
                continue
            if reason := self._doubt(register, value, time):
                del believed[register]
                if is_repeated and reason == "lower":
                    # From before a restart. It says nothing of the meter that is there now.
                    continue
                self.dropped[reason] += 1
                if value >= 0:
                    doubted.append(register)
            else:
                self._accept(register, value, time)
        for register in self._repeated(doubted, values, time):
            self._say_that_it_begins_anew(register, values[register])
            believed[register] = values[register]
            self._accept(register, values[register], time)
        return believed

    def _say_that_it_begins_anew(self, register: K, value: float) -> None:
        """Log it, a few times: what changes again and again must not fill the log."""
        self._begun[register] += 1
        if self._begun[register] > _SAID_AT_MOST:
            return
        last, name = self._registers[register], self._called or register
        if last.is_remembered and value > last.value:
            _LOGGER.info("%s rose by more since the restart than the clock tells", name)
        else:
            _LOGGER.warning("Another meter is believed to be there now: %s starts anew", name)

    def _doubt(self, register: K, value: float, time: float) -> str | None:
        """Return why a value cannot be, or None."""
        last = self._registers.get(register)
        if value < 0:
            return "negative"
        if last is None:
            return None
        if value == 0 < last.value:
            return "zero"
        if value < last.value:
            return "lower"
        if self._rises_too_fast(register, last, value, time):
            return "higher than possible"
        return None

    def _rises_too_fast(self, register: K, last: _Register | _Candidate, value: float, time: float) -> bool:
        limits = self._limits[register]
        hours = (max(time - last.time, 0.0) + limits.repeats_for + _GRACE) / 3600
        return value > last.value + limits.rise_per_hour * hours

    def _accept(self, register: K, value: float, time: float) -> None:
        candidate = self._candidates.pop(register, None)
        if candidate is not None and candidate.value == value and candidate.rises_too_fast:
            # It keeps rising in steps that no household supply can make: a wrong unit. The scale check tells
            # the user; limiting its rise would only drop everything.
            self._limits[register] = replace(self._limits[register], rise_per_hour=math.inf)
        self._registers[register] = _Register(value, time)

    def _repeated(self, doubted: Iterable[K], values: Mapping[K, float], time: float) -> list[K]:
        """Return the doubted registers whose values have kept coming for long enough."""
        repeated = []
        for register in doubted:
            value, last = values[register], self._registers[register]
            candidate = self._candidates.get(register)
            # Since when it has kept coming, a clock that has jumped back does not tell.
            if candidate is None or value < candidate.value or time < candidate.since:
                candidate = self._candidates[register] = _Candidate(value, time, since=time)
            candidate.rises_too_fast |= self._rises_too_fast(register, candidate, value, time)
            candidate.value, candidate.time = value, time
            candidate.readings += 1
            enough = _READINGS_OF_A_HIGHER_REGISTER
            if value < last.value:
                enough = _READINGS_OF_A_LOWER_REGISTER
            elif last.is_remembered:
                enough = _READINGS_AFTER_A_RESTART
            lasted = time - candidate.since
            if candidate.readings >= enough and lasted >= self._limits[register].repeats_for:
                repeated.append(register)
        return repeated if any(values[register] for register in repeated) else []


def limits_of_meter(units: Mapping[Measurement, Unit]) -> dict[Measurement, RegisterLimits]:
    """Return the limits of an electricity meter. Which measurements are registers, their units tell."""
    return {
        measurement: RegisterLimits(rise_per_hour=LARGEST_RISE_PER_HOUR[unit])
        for measurement, unit in units.items()
        if unit in LARGEST_RISE_PER_HOUR
    }
