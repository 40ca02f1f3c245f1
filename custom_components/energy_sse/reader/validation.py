"""Validation of values: each has bounds, and registers only grow."""

from collections import Counter, deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
import logging
import math
from typing import Final, NamedTuple

from .models import Measurement, Unit
from .payload import is_number

_LOGGER = logging.getLogger(__name__)

# Wh or varh in one hour: three phases of 290 A. No household supply carries more, and the values of an
# invalid telegram are mostly far higher.
MAX_ENERGY_PER_HOUR: Final = 200_000.0

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

# One Wh or varh in each unit of a register.
_RESOLUTIONS: Final[Mapping[Unit, float]] = {
    Unit.WATT_HOUR: 1.0,
    Unit.KILOWATT_HOUR: 0.001,
    Unit.VAR_HOUR: 1.0,
    Unit.KILOVAR_HOUR: 0.001,
}

# Coarser resolutions that a register can change to, in Wh.
_COARSER_FACTORS: Final = (10.0, 100.0, 1000.0)

# Seconds that are added to the time between two readings, because the first telegram can be late.
_MAX_LATENESS: Final = 60.0


class _ConfirmationRule(NamedTuple):
    """Number of consecutive readings, and their duration, that confirm a rejected register.

    Both are needed, because some meters send every second. Each invalid telegram has another value, but a
    reader can repeat one of them for some time.
    """

    readings: int
    seconds: float


_CONFIRM_LOWER: Final = _ConfirmationRule(5, 180.0)

# A higher register needs more, because a wrong one can be corrected only by a second replacement.
_CONFIRM_HIGHER: Final = _ConfirmationRule(20, 300.0)

# Rise during a restart, whose duration is uncertain because a clock may have been wrong. Also a rise that a
# meter can have counted in an hour or a day in which it repeated an old register.
_CONFIRM_LARGE_STEP: Final = _ConfirmationRule(5, 60.0)

# Wh. A higher rise during a restart is a meter replacement, regardless of the clock. 4 kW reach it in ten
# days.
_MAX_RISE_DURING_A_RESTART: Final = 1_000_000.0

# Seconds. An electricity meter reads sub-meters once an hour (gas by DSMR 4) or more often, and repeats the
# last value in between. A CurrentlyOne repeats its last detections after every connect.
MAX_REPEAT_AGE: Final = 3600.0

# Logged replacements of one register. A meter is replaced every ten years.
_MAX_LOGGED_REPLACEMENTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterLimits:
    """Limits of a register."""

    rise_per_hour: float = math.inf
    """Highest possible rise in an hour, in the register's unit."""

    max_repeat_age: float = 0.0
    """Seconds for which the device can repeat an old value, right or wrong, as if it were new."""

    resolution: float | None = None
    """One Wh in the register's unit, for the registers of electricity meters.

    A first zero has to be confirmed, because old firmware sends zero for registers that the meter does not
    have. A lower register can be the same register in a coarser resolution.
    """

    def max_rise(self, seconds: float) -> float:
        """Return the highest possible rise between two readings, in the register's unit."""
        return self.rise_per_hour * ((max(seconds, 0.0) + self.max_repeat_age + _MAX_LATENESS) / 3600)


class ReplacedRegister(NamedTuple):
    """Meter replacement that a reading confirms."""

    last: float
    """Last register of the old meter."""

    first: float
    """First register of the new meter."""

    seconds: float
    """Time since the first reading of the new meter."""


@dataclass(slots=True)
class _Candidate:
    """Rejected value that can be confirmed by the next readings."""

    value: float
    time: float
    since: float
    first: float
    readings: int = 0
    rises_too_fast: bool = False


@dataclass(slots=True)
class _Register:
    """Last accepted value of a register, and the rejected value that can replace it."""

    limits: RegisterLimits
    value: float | None = None
    """None if there is no accepted value."""

    time: float = -math.inf
    changed: float = -math.inf
    """Time when the value changed, or was first received."""

    is_restored: bool = False
    """True if the register was not received since a restart."""

    candidate: _Candidate | None = None
    replacements: int = 0
    """Number of meter replacements."""

    def rejection_reason(self, value: float, time: float) -> str | None:
        """Return the reason why a value is impossible; None if it is possible."""
        if value < 0:
            return "negative"
        if self.value is None:
            return "zero" if value == 0 and self.limits.resolution else None
        if value == 0 < self.value:
            return "zero"
        if value < self.value:
            return "lower"
        return "higher than possible" if value > self.value + self.limits.max_rise(time - self.time) else None

    def get_finer(self, value: float) -> float | None:
        """Return the last value if a value is equal to it in a coarser resolution; otherwise, None."""
        resolution, last = self.limits.resolution, self.value
        if resolution is None or last is None or not 0 < value < last:
            return None
        coarser = (resolution * factor for factor in _COARSER_FACTORS)
        is_same = any(abs(last // each * each - value) < resolution / 100 for each in coarser)
        return last if is_same else None

    def is_slightly_lower(self, value: float) -> bool:
        """Return whether a value is lower by less than the coarsest resolution, which is not a new meter."""
        resolution = self.limits.resolution
        if resolution is None or self.value is None or value == 0:
            return False
        return 0 < self.value - value < resolution * _COARSER_FACTORS[-1]

    def is_large_step(self, candidate: _Candidate) -> bool:
        """Return whether the rise to a candidate is possible during a restart, or in one step."""
        if self.value is None:
            return False
        if self.is_restored:
            max_rise = _MAX_RISE_DURING_A_RESTART * (self.limits.resolution or 1.0)
        else:
            max_rise = self.limits.rise_per_hour * ((candidate.since - self.changed) / 3600)
        return 0 <= candidate.value - self.value <= max_rise

    def accept(self, value: float, time: float) -> None:
        """Replace the last value."""
        candidate, self.candidate = self.candidate, None
        if candidate is not None and candidate.value == value and candidate.rises_too_fast:
            # The register is in another unit than expected, because no household supply allows such steps. A
            # limit would reject all its values.
            self.limits = replace(self.limits, rise_per_hour=math.inf)
        if value != self.value or self.is_restored:
            self.changed = time
        self.value, self.time, self.is_restored = value, time, False

    def confirm(self, value: float, time: float) -> _Candidate | None:
        """Update the candidate with a rejected value. Return the candidate if it is confirmed, or None."""
        candidate = self.candidate
        # A clock that was set back does not show since when the value was received.
        if candidate is None or value < candidate.value or time < candidate.since:
            candidate = self.candidate = _Candidate(value, time, since=time, first=value)
        max_rise = self.limits.max_rise(time - candidate.time)
        candidate.rises_too_fast = value > candidate.value + max_rise
        if candidate.rises_too_fast:
            candidate.first = value
        candidate.value, candidate.time = value, time
        candidate.readings += 1
        rule = self._confirmation_rule(candidate)
        seconds = max(rule.seconds, 0.0 if self.value is None else self.limits.max_repeat_age)
        is_confirmed = candidate.readings >= rule.readings and time - candidate.since >= seconds
        return candidate if is_confirmed else None

    def _confirmation_rule(self, candidate: _Candidate) -> _ConfirmationRule:
        if self.value is None or candidate.value < self.value:
            return _CONFIRM_LOWER
        return _CONFIRM_LARGE_STEP if self.is_restored or self.is_large_step(candidate) else _CONFIRM_HIGHER


class RegisterValidator[K: Hashable]:
    """Validator of registers.

    A zero after another value, a value below the last one, and a rise above the limit are rejected and
    counted. After several consecutive readings of this kind, they are accepted, because the meter was
    replaced, or uses another unit than documented. A zero is accepted only together with another register of
    the same reading, because old firmware sends zeros for unknown registers. All times are seconds of one
    clock.
    """

    def __init__(self, limits: Mapping[K, RegisterLimits], *, label: str | None = None) -> None:
        """Start without values. Values without limits are not registers, and are always accepted.

        `label` replaces the keys in the log, if they would identify a device or a person.
        """
        self.rejected: Counter[str] = Counter()
        """Number of rejected values by reason."""

        self.replaced: dict[K, ReplacedRegister] = {}
        """Meter replacements that the last reading has confirmed."""

        self._label = label
        self._registers = {key: _Register(each) for key, each in limits.items()}

    def add_register(self, key: K, limits: RegisterLimits) -> None:
        """Add a register to validate."""
        self._registers.setdefault(key, _Register(limits))

    @property
    def registers(self) -> Mapping[K, float]:
        """Last accepted values."""
        return {key: each.value for key, each in self._registers.items() if each.value is not None}

    @property
    def last_received(self) -> Mapping[K, float]:
        """Time of the last accepted value of each register that was received since the restart."""
        return {
            key: each.time
            for key, each in self._registers.items()
            if each.value is not None and not each.is_restored
        }

    def restore(self, key: K, value: object, time: float | None) -> None:
        """Restore the last value from before a restart. Its time is None if it is unknown."""
        if (register := self._registers.get(key)) and is_number(value) and value >= 0:
            register.value, register.is_restored = value, True
            # If the time is unknown, any rise is possible.
            register.time = register.changed = -math.inf if time is None else time

    def validate(
        self, values: Mapping[K, float], time: float, *, is_repeated: bool = False
    ) -> dict[K, float]:
        """Return the values of one reading without the rejected ones.

        `is_repeated` is True for a reading that the device has sent before.
        """
        accepted = dict(values)
        self.replaced.clear()
        to_confirm = []
        for key in values.keys() & self._registers.keys():
            register, value = self._registers[key], values[key]
            last = register.value
            if value == last and register.candidate is None and not register.is_restored:
                # Most registers rise once in many readings. This halves the work for a reading.
                register.time = time
            elif (finer := register.get_finer(value)) is not None:
                accepted[key] = finer
                register.accept(finer, time)
            elif (reason := register.rejection_reason(value, time)) is None:
                register.accept(value, time)
            else:
                del accepted[key]
                # A repeated reading is from before a restart. It does not show which meter is connected now.
                if last is None or not is_repeated:
                    to_confirm.append(key)
                    if last is not None or reason != "zero":
                        # A first zero has to be confirmed, but does not count as wrong.
                        self.rejected[reason] += 1
        if to_confirm:
            accepted |= self._confirm({key: values[key] for key in to_confirm}, time)
        return accepted

    def _confirm(self, rejected: Mapping[K, float], time: float) -> dict[K, float]:
        """Accept the rejected registers that have been received for long enough, and return them."""
        confirmed: dict[K, _Candidate] = {}
        for key, value in rejected.items():
            register = self._registers[key]
            can_be_confirmed = value >= 0 and not register.is_slightly_lower(value)
            if can_be_confirmed and (candidate := register.confirm(value, time)):
                confirmed[key] = candidate
        if not any(each.value or self._registers[key].value is None for key, each in confirmed.items()):
            return {}
        for key, candidate in confirmed.items():
            self._record_replacement(key, candidate, time)
            self._registers[key].accept(candidate.value, time)
        return {key: each.value for key, each in confirmed.items()}

    def _record_replacement(self, key: K, candidate: _Candidate, time: float) -> None:
        register = self._registers[key]
        if register.value is None:
            return
        name = self._label or key
        if register.is_large_step(candidate):
            _LOGGER.debug("The register of %s rose in one step", name)
            return
        self.replaced[key] = ReplacedRegister(register.value, candidate.first, time - candidate.since)
        register.replacements += 1
        if register.replacements <= _MAX_LOGGED_REPLACEMENTS:
            _LOGGER.warning("A meter was replaced: the register of %s has a new start value", name)


def get_bounds(units: Mapping[Measurement, Unit]) -> dict[Measurement, tuple[float, float]]:
    """Return the lowest and the highest value of each measurement that is possible in a household."""
    return {each: BOUNDS.get(unit, (-math.inf, math.inf)) for each, unit in units.items()}


def get_meter_limits(units: Mapping[Measurement, Unit]) -> dict[Measurement, RegisterLimits]:
    """Return the limits of an electricity meter, whose registers are the measurements in units of energy."""
    return {
        measurement: RegisterLimits(rise_per_hour=MAX_ENERGY_PER_HOUR * resolution, resolution=resolution)
        for measurement, unit in units.items()
        if (resolution := _RESOLUTIONS.get(unit)) is not None
    }


class DeviceLimit:
    """Limit of the number of devices, so that invalid data fills neither memory nor registries.

    Above a first number, a device is accepted at its second report, because invalid ids rarely repeat.
    """

    def __init__(self, at_first_report: int, total: int) -> None:
        """Set the number of devices that are accepted at their first report, and the total number."""
        self._at_first_report = at_first_report
        self._total = total
        self._reported: deque[str] = deque(maxlen=total)

    def accept(self, device_id: str, count: int) -> bool:
        """Record a report. Return whether its device is accepted in addition to `count` others."""
        if count < self._at_first_report:
            return True
        if device_id in self._reported:
            return count < self._total
        self._reported.append(device_id)
        return False
