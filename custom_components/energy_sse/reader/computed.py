"""Measurements that are computed from others: net power, and the headroom of each phase.

Their inputs can be in different readings, because some meters send import and export in turn.
"""

from collections.abc import Callable, Iterator, Mapping
from math import copysign
from typing import Final

from .models import Measurement as M, Unit

# Net power → import and export.
NET_POWERS: Final[Mapping[M, tuple[M, M]]] = {
    M.ACTIVE_POWER_NET: (M.ACTIVE_POWER_IMPORT, M.ACTIVE_POWER_EXPORT),
    M.ACTIVE_POWER_NET_L1: (M.ACTIVE_POWER_IMPORT_L1, M.ACTIVE_POWER_EXPORT_L1),
    M.ACTIVE_POWER_NET_L2: (M.ACTIVE_POWER_IMPORT_L2, M.ACTIVE_POWER_EXPORT_L2),
    M.ACTIVE_POWER_NET_L3: (M.ACTIVE_POWER_IMPORT_L3, M.ACTIVE_POWER_EXPORT_L3),
}

# Headroom of a phase → its current, and the power that has the sign of the current.
HEADROOMS: Final[Mapping[M, tuple[M, M]]] = {
    M.HEADROOM_L1: (M.CURRENT_L1, M.ACTIVE_POWER_NET_L1),
    M.HEADROOM_L2: (M.CURRENT_L2, M.ACTIVE_POWER_NET_L2),
    M.HEADROOM_L3: (M.CURRENT_L3, M.ACTIVE_POWER_NET_L3),
}


def get_computed_units(units: Mapping[M, Unit]) -> dict[M, Unit]:
    """Return the units of the measurements that are computed from those with a unit."""
    inputs = {net: power_import for net, (power_import, _) in NET_POWERS.items()}
    inputs |= {headroom: current for headroom, (current, _) in HEADROOMS.items()}
    return {computed: units[each] for computed, each in inputs.items() if each in units}


class ComputedValues:
    """Computes the measurements of one reader from its other values."""

    def __init__(self, units: Mapping[M, Unit], main_fuse: float | None = None, phases: int = 3) -> None:
        """Set the measurements of the reader. `main_fuse` is in A; without it, there is no headroom."""
        self._main_fuse = main_fuse or 0.0
        self._nets = [(net, *inputs) for net, inputs in NET_POWERS.items() if net in units]
        self._headrooms = [
            (headroom, *inputs)
            for headroom, inputs in list(HEADROOMS.items())[:phases]
            if headroom in units and main_fuse
        ]

    def add(self, values: dict[M, float], last: Mapping[M, float], is_missing: Callable[[M], bool]) -> None:
        """Add the computed values to the values of a reading.

        An input that the reading does not contain has its last valid value. The power in one direction is
        zero if `is_missing` returns True, because the meter does not have it.
        """
        for net, power_import, power_export in self._nets:
            imported, exported = values.get(power_import), values.get(power_export)
            if imported is None and exported is None:
                continue
            if imported is None:
                imported = 0 if is_missing(power_import) else last.get(power_import)
            elif exported is None:
                exported = 0 if is_missing(power_export) else last.get(power_export)
            if imported is not None and exported is not None:
                # Rounded far below the resolution of a meter, because subtracting binary fractions is not
                # exact. Adding zero removes the sign of a negative zero.
                values[net] = round(imported - exported, 6) + 0
        for headroom, current, net in self._headrooms:
            if (amperes := values.get(current)) is not None:
                # Most meters send currents without a sign.
                power = values.get(net, last.get(net)) or amperes
                values[headroom] = round(self._main_fuse - copysign(amperes, power), 3) + 0

    @property
    def headrooms(self) -> set[M]:
        """Headrooms of the phases that have a main fuse."""
        return {headroom for headroom, *_ in self._headrooms}

    def get_dependent(self, inputs: set[M]) -> Iterator[M]:
        """Yield the measurements that cannot be computed without some inputs."""
        yield from (net for net, *powers in self._nets if not inputs.isdisjoint(powers))
        yield from (headroom for headroom, current, _ in self._headrooms if current in inputs)
