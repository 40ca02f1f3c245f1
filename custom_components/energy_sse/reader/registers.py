"""What can be believed of a meter's registers, which only grow."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import logging
import math
from typing import Final

from .messages import Measurement, Unit

_LOGGER = logging.getLogger(__name__)

# In one hour, in the register's unit. Three phases of 290 A: no house has a connection like that, and what a
# broken telegram says is mostly off by far more.
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


@dataclass(slots=True)
class _Register:
    value: float
    time: float


@dataclass(slots=True)
class _Candidate:
    """A value that is doubted, but keeps coming."""

    value: float
    time: float
    readings: int = 0
    rises_too_fast: bool = False


class RegisterGuard:
    """Lets the values of registers through that a meter can have counted.

    Takes every register for itself. A zero after a real value, a value below the last one, and a rise that no
    house connection can make are dropped and counted. What repeats for several readings is believed: the
    meter was exchanged, or counts in another unit than the wire says. A zero is believed only together with
    another register, for old firmware fills with zeros what it does not know.

    All times are seconds of one clock.
    """

    def __init__(self, units: Mapping[Measurement, Unit]) -> None:
        """Start without knowing any register. Which measurements are registers, their units tell."""
        self.dropped: Counter[str] = Counter()
        """Values, by the reason."""

        self._largest_rise = {
            measurement: LARGEST_RISE_PER_HOUR[unit]
            for measurement, unit in units.items()
            if unit in LARGEST_RISE_PER_HOUR
        }
        self._registers: dict[Measurement, _Register] = {}
        self._candidates: dict[Measurement, _Candidate] = {}

    @property
    def registers(self) -> Mapping[Measurement, float]:
        """The last values that were believed."""
        return {measurement: register.value for measurement, register in self._registers.items()}

    def remember(self, registers: Mapping[Measurement, float], time: float) -> None:
        """Take values for known that were believed at an earlier time."""
        for measurement in registers.keys() & self._largest_rise.keys():
            self._registers[measurement] = _Register(registers[measurement], time)

    def believable(self, values: Mapping[Measurement, float], time: float) -> dict[Measurement, float]:
        """Return the values of one reading without those that cannot be."""
        believed = dict(values)
        doubted = []
        for measurement in values.keys() & self._largest_rise.keys():
            value = values[measurement]
            if not self._candidates and (last := self._registers.get(measurement)) and last.value == value:
                # Most registers rise once in many readings: no doubt, and half of the work of a reading less.
                last.time = time
                continue
            if reason := self._doubt(measurement, value, time):
                self.dropped[reason] += 1
                del believed[measurement]
                if value >= 0:
                    doubted.append(measurement)
            else:
                self._accept(measurement, value, time)
        for measurement in self._repeated(doubted, values, time):
            _LOGGER.warning("Another meter is believed to be there now: %s starts anew", measurement)
            believed[measurement] = values[measurement]
            self._accept(measurement, values[measurement], time)
        return believed

    def _doubt(self, measurement: Measurement, value: float, time: float) -> str | None:
        """Return why a value cannot be, or None."""
        last = self._registers.get(measurement)
        if value < 0:
            return "negative"
        if last is None:
            return None
        if value == 0 < last.value:
            return "zero"
        if value < last.value:
            return "lower"
        if self._rises_too_fast(measurement, last, value, time):
            return "higher than possible"
        return None

    def _rises_too_fast(
        self, measurement: Measurement, last: _Register | _Candidate, value: float, time: float
    ) -> bool:
        hours = (max(time - last.time, 0.0) + _GRACE) / 3600
        return value > last.value + self._largest_rise[measurement] * hours

    def _accept(self, measurement: Measurement, value: float, time: float) -> None:
        candidate = self._candidates.pop(measurement, None)
        if candidate is not None and candidate.value == value and candidate.rises_too_fast:
            # It counts in steps that no house connection can make, and does not stop: a wrong unit, of which
            # the user is told elsewhere. Here its rises say nothing any more.
            self._largest_rise[measurement] = math.inf
        self._registers[measurement] = _Register(value, time)

    def _repeated(
        self, doubted: Iterable[Measurement], values: Mapping[Measurement, float], time: float
    ) -> list[Measurement]:
        """Return the doubted registers whose values have kept coming for long enough."""
        repeated = []
        for measurement in doubted:
            value, last = values[measurement], self._registers[measurement].value
            candidate = self._candidates.get(measurement)
            if candidate is None or value < candidate.value:
                candidate = self._candidates[measurement] = _Candidate(value, time)
            candidate.rises_too_fast |= self._rises_too_fast(measurement, candidate, value, time)
            candidate.value, candidate.time = value, time
            candidate.readings += 1
            enough = _READINGS_OF_A_LOWER_REGISTER if value < last else _READINGS_OF_A_HIGHER_REGISTER
            if candidate.readings >= enough:
                repeated.append(measurement)
        return repeated if any(values[measurement] for measurement in repeated) else []
