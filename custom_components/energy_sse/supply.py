"""Supply of the home, as the user has entered it in the options."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .const import CONF_MAIN_FUSE, CONF_PHASES
from .reader import MAX_ENERGY_PER_HOUR

# Volts between a phase and neutral.
_VOLTAGE: Final = 230.0


class Supply(NamedTuple):
    """Supply of a home."""

    main_fuse: float | None = None
    """Current in A that the main fuse allows on each phase; None if it is unknown."""

    phases: int = 3

    @property
    def max_power(self) -> float:
        """Power in W that the main fuse allows; the bound of the validation if it is unknown."""
        return MAX_ENERGY_PER_HOUR if self.main_fuse is None else self.main_fuse * _VOLTAGE * self.phases


def get_supply(options: Mapping[str, Any]) -> Supply:
    """Return the supply in the validated options of an entry."""
    return Supply(options.get(CONF_MAIN_FUSE), int(options.get(CONF_PHASES, 3)))
