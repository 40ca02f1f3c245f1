"""Whether a meter's power and its registers speak of the same energy."""

from dataclasses import dataclass
import math
from typing import Final

# Wh. Enough for a register of 1 Wh or even 100 Wh to have a say, and soon used in any home.
_ENOUGH: Final = 5_000.0

# Wh. Power is read at moments; over less, a load that switches would make the account a matter of luck.
_ENOUGH_BY_POWER: Final = 200.0

# Seconds. Over a longer gap the power in between is anybody's guess.
_LONGEST_GAP: Final = 120.0

_FACTORS: Final = (10.0, 100.0, 1000.0)

# A factor of ten is told from a meter that rounds, and from power that was read every ten seconds only.
_TOLERANCE: Final = 0.25


@dataclass(frozen=True, slots=True)
class ScaleError:
    """Two accounts of the same energy that are a power of ten apart."""

    by_power: float
    """Wh, power over time."""

    by_register: float
    """Wh, rise of the register."""


class ScaleCheck:
    """Compares the power over time with the rise of the register, for one direction.

    Wrong by a power of ten happens: a Landis+Gyr E570 was seen whose registers come in Wh and are read as
    kWh.
    """

    def __init__(self) -> None:
        """Start without having heard anything."""
        self.error: ScaleError | None = None
        """What the last comparison found."""

        self._by_power = 0.0
        self._by_register = 0.0
        self._time = -math.inf
        self._power = 0.0
        self._register = 0.0
        self._since_last_rise: float | None = None
        """Wh by power. None while it is not known when the register last rose."""

    def take(self, *, power: float, register: float, time: float) -> bool:
        """Take in a reading: W, Wh, and seconds of any clock. Returns whether there is a new comparison.

        Some registers rise once an hour only: accounts are taken from rise to rise.
        """
        if time - self._time > _LONGEST_GAP or register < self._register:
            self._since_last_rise = None
        else:
            if self._since_last_rise is not None:
                self._since_last_rise += (power + self._power) / 2 * (time - self._time) / 3600
            if register > self._register:
                if self._since_last_rise is not None:
                    self._by_power += self._since_last_rise
                    self._by_register += register - self._register
                self._since_last_rise = 0.0
        self._time, self._power, self._register = time, power, register
        if max(self._by_power, self._by_register) < _ENOUGH or self._by_power < _ENOUGH_BY_POWER:
            return False
        self._compare()
        self._by_power = self._by_register = 0.0
        return True

    def _compare(self) -> None:
        """Find an error, or its end. Accounts that differ in another way say nothing of either."""
        low, high = sorted((self._by_power, self._by_register))
        if abs(high - low) <= _TOLERANCE * high:
            self.error = None
        elif any(abs(high - factor * low) <= _TOLERANCE * high for factor in _FACTORS):
            self.error = ScaleError(by_power=self._by_power, by_register=self._by_register)
