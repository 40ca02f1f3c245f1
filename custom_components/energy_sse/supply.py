"""Supply of the home, as the user has entered it in the options."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .const import CONF_MAIN_FUSE, CONF_PHASES
from .reader import is_number


class Supply(NamedTuple):
    """Supply of a home."""

    main_fuse: float | None = None
    """Current in A that the main fuse allows on each phase; None if it is unknown."""

    phases: int = 3


def get_supply(options: Mapping[str, Any]) -> Supply:
    """Return the supply in the options of an entry."""
    main_fuse = options.get(CONF_MAIN_FUSE)
    return Supply(main_fuse if is_number(main_fuse) else None, int(options.get(CONF_PHASES, 3)))
