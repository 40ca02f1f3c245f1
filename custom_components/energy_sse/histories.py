"""Register histories of one reader: import, export, and the sum of the import tariffs."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from .reader import HourlyRegister, Measurement, ReplacedRegister, Unit
from .registers import KEEP_HOURS, RegisterHistory, from_timestamp
from .validated_reading import ValidatedReading
from .wall_clock import Period

_IMPORT: Final = Measurement.ACTIVE_ENERGY_IMPORT
_TARIFFS: Final = (Measurement.ACTIVE_ENERGY_IMPORT_T1, Measurement.ACTIVE_ENERGY_IMPORT_T2)

# Register with a history → power that it counts.
_POWERS: Final = {
    Measurement.ACTIVE_ENERGY_IMPORT: Measurement.ACTIVE_POWER_IMPORT,
    Measurement.ACTIVE_ENERGY_EXPORT: Measurement.ACTIVE_POWER_EXPORT,
}

# Powers and energies from which the histories are calculated.
_INPUTS: Final = frozenset({*_POWERS, *_POWERS.values(), *_TARIFFS})

# The statistics need the last days. A power tariff needs the import of this month and of the previous month.
_KEEP: Final = timedelta(days=4)
_KEEP_FOR_POWER_TARIFFS: Final = timedelta(days=66)

# A register that was not received for longer than this is assumed not to be sent any more.
_OUTDATED_AFTER: Final = timedelta(days=1)

# W or Wh in each unit.
_FACTORS: Final[Mapping[Unit, float]] = {
    Unit.WATT: 1.0,
    Unit.KILOWATT: 1000.0,
    Unit.WATT_HOUR: 1.0,
    Unit.KILOWATT_HOUR: 1000.0,
}


class RegisterHistories:
    """Register histories of one reader."""

    def __init__(self, units: Mapping[Measurement, Unit]) -> None:
        """Start empty."""
        self.by_register = {register: RegisterHistory() for register in _POWERS}
        self._tariff_sum = _TariffSum()
        self._factors = {key: _FACTORS[units[key]] for key in _INPUTS if key in units}
        self._last_hourly: HourlyRegister | None = None
        self._wrong_hours = _WrongHours()

    @property
    def for_power_tariffs(self) -> RegisterHistory:
        """Return the history of the import, or of the sum of the tariffs if the meter has only these."""
        history = self._tariff_sum.history
        return history if history.has_register else self.by_register[_IMPORT]

    def update(self, reading: ValidatedReading) -> RegisterUpdate:
        """Update the histories from a reading."""
        try:
            return RegisterUpdate(reading, self, self._update(reading))
        except Exception:
            # The next boundary must not get a register that is older than the state of the sensor.
            for history in (*self.by_register.values(), self._tariff_sum.history):
                history.record_gap()
            raise

    def _update(self, reading: ValidatedReading) -> bool:
        received, factors = reading.values, self._factors
        values = {key: received[key] * factor for key, factor in factors.items() if key in received}
        replaced = {
            key: ReplacedRegister(each.last * factors[key], each.first * factors[key], each.seconds)
            for key, each in reading.replaced.items()
            if key in factors
        }
        self._wrong_hours.update(reading)
        is_changed = False
        for register, power in _POWERS.items():
            history = self.by_register[register]
            is_changed |= history.update(
                reading, values.get(register), values.get(power), replaced.get(register)
            )
            # A repeated reading does not show whether the clock is right at present.
            if reading.has_right_clock and not reading.is_repeated:
                is_changed |= history.accept_hourly(self._wrong_hours.period)
        return is_changed | self._tariff_sum.update(reading, values, replaced, self.by_register[_IMPORT])

    def add_hourly(self, hourly: HourlyRegister) -> None:
        """Add registers that the reader has stored on the hour."""
        last, self._last_hourly = self._last_hourly, hourly
        if last is not None and last.hour < hourly.hour and last.values == hourly.values:
            # Equal registers of two hours are a repeated record, because every home imports or exports energy
            # within an hour.
            return
        for register, history in self.by_register.items():
            if (value := hourly.values.get(register)) is not None:
                history.add_hourly(hourly.hour, value * self._factors[register])

    def as_dict(self) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable. The oldest boundaries are removed."""
        for register, history in self.by_register.items():
            history.remove_oldest(_KEEP_FOR_POWER_TARIFFS if register is _IMPORT else _KEEP)
        data: dict[str, Any] = {
            "registers": {str(register): each.as_dict() for register, each in self.by_register.items()},
            "wrong_hours": self._wrong_hours.as_dict(),
        }
        if (tariffs := self._tariff_sum.history).has_register:
            tariffs.remove_oldest(_KEEP_FOR_POWER_TARIFFS)
            data["tariffs"] = tariffs.as_dict()
        return data

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data. After an error, the histories are not usable."""
        for register, history in self.by_register.items():
            history.restore(data["registers"][register])
        if "tariffs" in data:
            self._tariff_sum.history.restore(data["tariffs"])
        if "wrong_hours" in data:
            self._wrong_hours.restore(data["wrong_hours"])


class RegisterUpdate(NamedTuple):
    """A validated reading, and the histories that contain it."""

    reading: ValidatedReading
    histories: RegisterHistories
    boundaries_changed: bool


class _WrongHours:
    """Hours that the reader may have stored while its clock was wrong.

    The reader repeats them after its clock was corrected.
    """

    def __init__(self) -> None:
        self.period: Period | None = None
        self._right_at = datetime.fromtimestamp(0, UTC)
        """Time of the last reading with a right clock."""

        self._error = timedelta()
        """Last error of the clock; zero while it is right."""

        self._has_reading = False
        """True after the first reading since the start of Home Assistant."""

    def update(self, reading: ValidatedReading) -> None:
        """Update the period from a reading."""
        if reading.wrong_period is not None and self._has_reading:
            # Home Assistant's clock was wrong, not the reader's.
            self._error = timedelta()
        self._has_reading = True
        if reading.is_repeated or reading.is_delayed:
            return
        if not reading.has_right_clock:
            error = timedelta(seconds=abs(reading.values.get(Measurement.READER_CLOCK_OFFSET, 0.0)))
            if error < KEEP_HOURS:
                # With a larger error, the stored hours are outside of the days that are accepted.
                self._error = error
            return
        if self._error:
            start = self._right_at - self._error
            if self.period is not None:
                start = min(start, self.period.start)
            # The period ends now. The reader stores a right register for each later hour, and repeats it
            # after the wrong one.
            self.period = Period(start, reading.time)
            self._error = timedelta()
        self._right_at = reading.time

    def as_dict(self) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable."""
        return {
            "period": self.period and [time.timestamp() for time in self.period],
            "right_at": self._right_at.timestamp(),
            "error": self._error.total_seconds(),
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data."""
        self.period = data["period"] and Period(*map(from_timestamp, data["period"]))
        self._right_at = from_timestamp(data["right_at"])
        self._error = timedelta(seconds=data["error"])


class _TariffSum:
    """Import register of a meter that sends only the registers of its two tariffs: their sum.

    Only the power tariff reads this history. The statistics of the import register must not follow the sum,
    because the two can differ.
    """

    def __init__(self) -> None:
        self.history = RegisterHistory()
        """It has no register while the meter sends its own import register."""

        self._is_complete = True
        self._replaced: dict[Measurement, ReplacedRegister] = {}
        """Meter replacements, until both registers of the new meter have been received."""

    def update(
        self,
        reading: ValidatedReading,
        values: Mapping[Measurement, float],
        replaced: Mapping[Measurement, ReplacedRegister],
        own: RegisterHistory,
    ) -> bool:
        """Update the history from a reading, in W and Wh. Return whether its boundaries have changed.

        `own` is the history of the meter's own import register.
        """
        if reading.values.get(Measurement.ACTIVE_TARIFF, 0) > len(_TARIFFS):
            # The reader does not send the registers of other tariffs.
            self._is_complete = False
        # Some firmware sends zero for a register that the meter does not have.
        has_own = bool(values.get(_IMPORT))
        if self.history.has_register:
            if self._is_obsolete(own, reading.time, has_own=has_own):
                self.history = RegisterHistory()
                return True
        elif has_own or not self._is_complete or not _is_outdated(own, reading.time):
            return False
        self._replaced |= {key: each for key, each in replaced.items() if key in _TARIFFS}
        total, total_replaced = None, None
        if all(tariff in values for tariff in _TARIFFS):
            # Rounded to the digits of the protocol, because adding binary fractions is not exact.
            total = round(sum(values[tariff] for tariff in _TARIFFS), 3)
            if self._replaced:
                total_replaced = self._sum_of_replaced(values)
                self._replaced = {}
        if not (self.history.has_register or total):
            return False
        return self.history.update(reading, total, values.get(_POWERS[_IMPORT]), total_replaced)

    def _is_obsolete(self, own: RegisterHistory, time: datetime, *, has_own: bool) -> bool:
        """Return whether the sum is incomplete, or the meter's own register can replace it."""
        can_replace = len(own.boundaries) >= len(self.history.boundaries) or _is_outdated(self.history, time)
        return not self._is_complete or (has_own and can_replace)

    def _sum_of_replaced(self, values: Mapping[Measurement, float]) -> ReplacedRegister:
        """Return the replacement of the sum. A register that was not replaced is the same on both sides."""
        replacements = [
            self._replaced.get(tariff, ReplacedRegister(values[tariff], values[tariff], 0.0))
            for tariff in _TARIFFS
        ]
        lasts, firsts, seconds = zip(*replacements, strict=True)
        return ReplacedRegister(sum(lasts), sum(firsts), max(seconds))


def _is_outdated(history: RegisterHistory, time: datetime) -> bool:
    return history.received_at is None or time - history.received_at > _OUTDATED_AFTER
