"""Validation of values: each has bounds, and registers only grow."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
import logging
import math
from typing import Final, NamedTuple

from .models import Measurement, Unit
from .payload import is_number

_LOGGER = logging.getLogger(__name__)

# In one hour, in the register's unit: three phases of 290 A. No household supply carries more, and the
# values of a broken telegram are mostly far beyond it.
MAX_RISE_PER_HOUR: Final[Mapping[Unit, float]] = {
    Unit.WATT_HOUR: 200_000.0,
    Unit.KILOWATT_HOUR: 200.0,
    Unit.VAR_HOUR: 200_000.0,
    Unit.KILOVAR_HOUR: 200.0,
}

# Wh in one hour, the same for the register histories, which are in Wh.
MAX_ENERGY_PER_HOUR: Final = MAX_RISE_PER_HOUR[Unit.WATT_HOUR]

# Lowest and highest value of each unit. The power is that of three phases of 290 A, as for the registers. A
# phase has 230 V, or 400 V between two phases. Energy: that power for thirty years, the longest that a
# meter is approved for.
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

# Seconds that are allowed in addition, because one telegram can be late and the next one in time.
_GRACE: Final = 60.0


class _Proof(NamedTuple):
    """Number of readings in a row, and their duration, that confirm a rejected register.

    Both are needed, because some meters send every second. Each wrong telegram has another value, but a
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

# One Wh each. A higher rise during a restart is a meter replacement, whatever the clock shows: an outage of
# ten days with 4 kW.
_MAX_RISE_DURING_A_RESTART: Final = 1_000_000.0

# Of one register. A meter is replaced every ten years.
_MAX_LOGGED_REPLACEMENTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterLimits:
    """Limits of a register."""

    rise_per_hour: float = math.inf
    """In the register's unit."""

    max_repeat_age: float = 0.0
    """Seconds for which the device can repeat an old value, right or wrong, as if it were new."""

    resolution: float | None = None
    """One Wh in the register's unit, for the registers of electricity meters.

    Their first zero has to be confirmed, because old firmware fills with zeros. A lower register can be the
    same one in a coarser resolution.
    """


class ReplacedRegister(NamedTuple):
    """Meter replacement that a reading confirms."""

    last: float
    """Last register of the old meter."""

    first: float
    """First register of the new meter."""

    seconds: float
    """Time since the first reading of the new meter."""


@dataclass(slots=True)
class _Register:
    value: float
    time: float
    changed: float
    """Time when the value changed, or was first received."""

    is_restored: bool = False
    """True if the register was not received since a restart."""


@dataclass(slots=True)
class _Candidate:
    """Rejected value that can be confirmed by the next readings."""

    value: float
    time: float
    since: float
    first: float
    readings: int = 0
    rises_too_fast: bool = False


class RegisterValidator[K: Hashable]:
    """Validates registers, each for itself.

    A zero after another value, a value below the last one, and a rise beyond the limit are rejected and
    counted. Several such readings in a row are accepted, because the meter was replaced, or counts in
    another unit than the protocol names. A zero is accepted only together with another register of the same
    reading, because old firmware sends zeros for unknown registers. All times are seconds of one clock.
    """

    def __init__(self, limits: Mapping[K, RegisterLimits], *, label: str | None = None) -> None:
        """Start without registers. Values without limits are not registers, and are always accepted.

        `label` replaces the keys in the log, where they would identify a device or a person.
        """
        self.dropped: Counter[str] = Counter()
        """Number of rejected values by reason."""

        self.replaced: dict[K, ReplacedRegister] = {}
        """Meter replacements that the last reading has confirmed."""

        self._limits = dict(limits)
        self._label = label
        self._registers: dict[K, _Register] = {}
        self._candidates: dict[K, _Candidate] = {}
        self._logged: Counter[K] = Counter()
        """Number of meter replacements."""

    def add_register(self, register: K, limits: RegisterLimits) -> None:
        """Validate one more register from now on."""
        self._limits.setdefault(register, limits)

    @property
    def registers(self) -> Mapping[K, float]:
        """The last accepted values."""
        return {key: register.value for key, register in self._registers.items()}

    @property
    def last_received(self) -> Mapping[K, float]:
        """The time of the last accepted value of each register that was received since the restart."""
        return {key: register.time for key, register in self._registers.items() if not register.is_restored}

    def restore(self, register: K, value: object, time: float | None) -> None:
        """Restore the last value from before a restart. Its time is None if it is unknown."""
        if register in self._limits and is_number(value) and value >= 0:
            # After an unknown time any rise is possible.
            time = -math.inf if time is None else time
            self._registers[register] = _Register(value, time, time, is_restored=True)

    def validate(
        self, values: Mapping[K, float], time: float, *, is_repeated: bool = False
    ) -> dict[K, float]:
        """Return the values of one reading without the rejected ones.

        `is_repeated` is True for a reading that the device has sent before.
        """
        accepted = dict(values)
        rejected = []
        self.replaced.clear()
        for register in values.keys() & self._limits.keys():
            value, last = values[register], self._registers.get(register)
            if not self._candidates and last and last.value == value and not last.is_restored:
                # Most registers rise once in many readings. This halves the work for a reading.
                last.time = time
            elif last is not None and self._is_rounded(register, value, last.value):
                accepted[register] = last.value
                self._accept(register, last.value, time)
            elif (reason := self._rejection_reason(register, value, time)) is None:
                self._accept(register, value, time)
            else:
                del accepted[register]
                if is_repeated and last is not None:
                    # From before a restart. It does not prove which meter is there now.
                    continue
                if last is not None or reason != "zero":
                    # A first zero has to be confirmed, and is not wrong.
                    self.dropped[reason] += 1
                if value >= 0 and not self._is_slightly_lower(register, value):
                    rejected.append(register)
        confirmed = [each for each in rejected if self._is_confirmed(each, values[each], time)]
        if any(values[register] or register not in self._registers for register in confirmed):
            for register in confirmed:
                self._note_replacement(register, time)
                accepted[register] = values[register]
                self._accept(register, values[register], time)
        return accepted

    def _note_replacement(self, register: K, time: float) -> None:
        last, candidate = self._registers.get(register), self._candidates[register]
        if last is None:
            return
        name = self._label or register
        if self._is_large_step(register, last, candidate):
            _LOGGER.debug("The register of %s rose in one step", name)
            return
        self.replaced[register] = ReplacedRegister(last.value, candidate.first, time - candidate.since)
        self._logged[register] += 1
        if self._logged[register] <= _MAX_LOGGED_REPLACEMENTS:
            _LOGGER.warning("A meter was replaced: the register of %s has a new start value", name)

    def _is_large_step(self, register: K, last: _Register, candidate: _Candidate) -> bool:
        """Return whether the same meter can have counted the rise during a restart, or in one step."""
        limits = self._limits[register]
        if last.is_restored:
            max_rise = _MAX_RISE_DURING_A_RESTART * (limits.resolution or 1.0)
        else:
            max_rise = limits.rise_per_hour * ((candidate.since - last.changed) / 3600)
        return 0 <= candidate.value - last.value <= max_rise

    def _rejection_reason(self, register: K, value: float, time: float) -> str | None:
        """Return why a value is impossible; None if it is possible."""
        last = self._registers.get(register)
        if value < 0:
            return "negative"
        if last is None:
            return "zero" if value == 0 and self._limits[register].resolution else None
        if value == 0 < last.value:
            return "zero"
        if value < last.value:
            return "lower"
        return "higher than possible" if self._rises_too_fast(register, last, value, time) else None

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
            # The register is in another unit than expected, because no household supply allows such steps.
            # A limit would reject all its values.
            self._limits[register] = replace(self._limits[register], rise_per_hour=math.inf)
        last, changed = self._registers.get(register), time
        if last is not None and last.value == value and not last.is_restored:
            changed = last.changed
        self._registers[register] = _Register(value, time, changed)

    def _is_confirmed(self, register: K, value: float, time: float) -> bool:
        """Return whether a rejected register was received in enough readings, for long enough."""
        last, candidate = self._registers.get(register), self._candidates.get(register)
        # A clock that was set back does not show since when the value was received.
        if candidate is None or value < candidate.value or time < candidate.since:
            candidate = self._candidates[register] = _Candidate(value, time, since=time, first=value)
        candidate.rises_too_fast = self._rises_too_fast(register, candidate, value, time)
        if candidate.rises_too_fast:
            candidate.first = value
        candidate.value, candidate.time = value, time
        candidate.readings += 1
        proof = self._proof(register, last, candidate)
        seconds = proof.seconds
        if last is not None:
            seconds = max(seconds, self._limits[register].max_repeat_age)
        return candidate.readings >= proof.readings and time - candidate.since >= seconds

    def _proof(self, register: K, last: _Register | None, candidate: _Candidate) -> _Proof:
        if last is None or candidate.value < last.value:
            return _LOWER
        if last.is_restored or self._is_large_step(register, last, candidate):
            return _LARGE_STEP
        return _HIGHER


def bounds_of(units: Mapping[Measurement, Unit]) -> dict[Measurement, tuple[float, float]]:
    """Return the lowest and the highest value of each measurement that a household supply can carry."""
    return {each: BOUNDS.get(unit, (-math.inf, math.inf)) for each, unit in units.items()}


def limits_of_meter(units: Mapping[Measurement, Unit]) -> dict[Measurement, RegisterLimits]:
    """Return the limits of an electricity meter, whose registers are the measurements in units of energy."""
    return {
        measurement: RegisterLimits(rise_per_hour=MAX_RISE_PER_HOUR[unit], resolution=_ONE[unit])
        for measurement, unit in units.items()
        if unit in MAX_RISE_PER_HOUR
    }
