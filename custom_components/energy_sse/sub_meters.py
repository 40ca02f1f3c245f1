"""The sub-meters that a reader passes on, of gas, water or heat, by what their owner has chosen."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from homeassistant.core import callback

from .const import SubMeterKind
from .findings import Findings
from .limits import SUB_METER_LIMITS, Places
from .memory import RegisterMemory
from .reader import RegisterValidator, SubMeterReading

# More than any meter passes on.
_PLACES_FOR_ALL: Final = 16
_PLACES: Final = 64


class SubMeters:
    """The sub-meters of one reader. All times are seconds of one monotonic clock."""

    def __init__(self, known: Iterable[str], chosen: Mapping[str, str]) -> None:
        """Start with the ids that are known, and what each is said to measure."""
        self.found = Findings(known)
        self.guard = RegisterValidator[str]({}, label="a sub-meter")

        self._chosen = chosen
        self._places = Places(_PLACES_FOR_ALL, _PLACES)
        self._memory = RegisterMemory(self.guard)
        self._heard: dict[str, SubMeterReading] = {}

    def __len__(self) -> int:
        """Return how many have been heard of since the start."""
        return len(self._heard)

    def __contains__(self, meter_id: str) -> bool:
        """Tell whether one has been heard of since the start."""
        return meter_id in self._heard

    def kind(self, meter_id: str) -> SubMeterKind:
        """Return what a sub-meter measures, by what its owner has chosen."""
        chosen = self._chosen.get(meter_id, SubMeterKind.NONE)
        # A newer version may have let its owner choose something else.
        return SubMeterKind(chosen) if chosen in SubMeterKind else SubMeterKind.NONE

    def value(self, meter_id: str) -> float | None:
        """Return what one has counted, in the unit of its own; None where that is not known."""
        heard = self._heard.get(meter_id)
        return None if heard is None else heard.value

    @callback
    def take(self, reading: SubMeterReading, now: float) -> bool:
        """Take in what one says. Returns whether it has something new to show."""
        meter_id, before = reading.meter_id, self._heard.get(reading.meter_id)
        if before is None and meter_id not in self.found:
            # No register is negative. Those of before a restart count too: they have their devices still.
            taken = len({*self.found, *self._heard})
            if (reading.value or 0) < 0 or not self._places.has_place(meter_id, taken):
                return False
        elif before is not None and reading.value is None:
            return False
        if not self._is_believable(reading, now):
            return False
        self._heard[meter_id] = reading
        return reading.value is not None and (before is None or before.value != reading.value)

    def _is_believable(self, reading: SubMeterReading, now: float) -> bool:
        if reading.value is None:
            return True
        self._watch(reading.meter_id)
        return bool(self.guard.validate({reading.meter_id: reading.value}, now))

    def _watch(self, meter_id: str) -> None:
        self.guard.add_register(meter_id, SUB_METER_LIMITS[self.kind(meter_id)])

    @callback
    def forget(self, meter_id: str) -> bool:
        """Forget one: it is new, should it ever speak again. Returns False for one that is still there."""
        if meter_id in self:
            return False
        self.found.discard(meter_id)
        return True

    def memory(self, now: float) -> dict[str, Any]:
        """Return what `recall` wants after a restart: the registers, and when each was heard."""
        return {"counters": self.guard.registers, "counters_heard_at": self._memory.heard_at(now)}

    def recall(self, memory: Mapping[str, Any], now: float) -> None:
        """Know again what was stored before a restart, by this version or an older one."""
        # Older versions have not noted when these were heard.
        heard_at = memory.get("counters_heard_at", {})
        for meter_id, value in memory.get("counters", {}).items():
            self._watch(meter_id)
            self._memory.recall(meter_id, value, heard_at.get(meter_id), now)
