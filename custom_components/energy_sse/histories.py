"""Import register of a meter that sends only the registers of its two tariffs: their sum."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from .reader import Measurement
from .readings import Readings, Validated
from .registers import RegisterHistory

_IMPORT: Final = Measurement.ACTIVE_ENERGY_IMPORT
_TARIFFS: Final = (Measurement.ACTIVE_ENERGY_IMPORT_T1, Measurement.ACTIVE_ENERGY_IMPORT_T2)

# A register that was not received for longer is no longer sent.
_OUTDATED: Final = timedelta(days=1)


class TariffRegisters:
    """Register history of the sum of both tariffs, which only the power tariff reads.

    It is apart from the history of the import register, whose statistics must not follow the sum: the two
    can differ.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.history = RegisterHistory()
        """Without a register while the meter sends an import register of its own."""

        self._is_complete = True
        self._replaced: dict[Measurement, tuple[float, float, float]] = {}
        """Meter replacements, until both registers of the new meter have been received."""

    def update(self, validated: Validated, readings: Readings, own: RegisterHistory) -> bool:
        """Update the history from a reading. Return whether its boundaries have changed.

        `own` is the history of the meter's own import register.
        """
        if validated.values.get(Measurement.ACTIVE_TARIFF, 0) > len(_TARIFFS):
            # The reader does not send the registers of other tariffs.
            self._is_complete = False
        # Firmware that fills with zeros sends a register that the meter does not have.
        has_own = bool(validated.values.get(_IMPORT))
        if self.history.has_register:
            if self._is_obsolete(own, validated.time, has_own=has_own):
                self.history = RegisterHistory()
                return True
        elif has_own or not self._is_complete or not _is_outdated(own, validated.time):
            return False
        sample = readings.sample(self._with_sum(validated), _IMPORT, Measurement.ACTIVE_POWER_IMPORT)
        if not (self.history.has_register or sample.register):
            return False
        return self.history.update(sample)

    def _is_obsolete(self, own: RegisterHistory, time: datetime, *, has_own: bool) -> bool:
        """Return whether the sum is incomplete, or the meter's own register can replace it."""
        can_replace = len(own.boundaries) >= len(self.history.boundaries) or _is_outdated(self.history, time)
        return not self._is_complete or (has_own and can_replace)

    def _with_sum(self, validated: Validated) -> Validated:
        """Return a reading with the sum as its import register, if it has both registers."""
        values = dict(validated.values)
        values.pop(_IMPORT, None)
        self._replaced |= {key: each for key, each in validated.replaced.items() if key in _TARIFFS}
        replaced: Mapping[Measurement, tuple[float, float, float]] = {}
        if all(tariff in values for tariff in _TARIFFS):
            # The digits of the protocol, without the noise of adding binary fractions.
            values[_IMPORT] = round(sum(values[tariff] for tariff in _TARIFFS), 6)
            if self._replaced:
                replaced = {_IMPORT: self._replacement(values)}
                self._replaced = {}
        return validated._replace(values=values, replaced=replaced)

    def _replacement(self, values: Mapping[Measurement, float]) -> tuple[float, float, float]:
        """Return the replacement of the sum. A register that was not replaced is the same on both sides."""
        each = [self._replaced.get(tariff, (values[tariff], values[tariff], 0.0)) for tariff in _TARIFFS]
        lasts, firsts, seconds = zip(*each, strict=True)
        return sum(lasts), sum(firsts), max(seconds)


def _is_outdated(history: RegisterHistory, time: datetime) -> bool:
    return history.received_at is None or time - history.received_at > _OUTDATED
