"""Options that nobody can have chosen: made by a hand in Home Assistant's files, or by a disk."""

from collections.abc import Callable, Mapping
import logging
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback

from .const import CONF_FILL_MISSED_HOURS, CONF_POWER_TARIFF, CONF_SUB_METERS, CONF_WRITE_INTERVAL
from .reader import is_number

_LOGGER = logging.getLogger(__name__)

# Seconds. After an hour at most, everything is written anyway.
_LONGEST_WRITE_INTERVAL: Final = 3600

_CAN_BE: Final[Mapping[str, Callable[[Any], bool]]] = {
    CONF_WRITE_INTERVAL: lambda value: is_number(value) and 0 <= value <= _LONGEST_WRITE_INTERVAL,
    CONF_FILL_MISSED_HOURS: lambda value: isinstance(value, bool),
    CONF_SUB_METERS: lambda value: isinstance(value, Mapping),
    CONF_POWER_TARIFF: lambda value: isinstance(value, Mapping),
}


@callback
def async_mend(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Leave such options out, so that what is usual is chosen again."""
    broken = [
        key for key, can_be in _CAN_BE.items() if key in entry.options and not can_be(entry.options[key])
    ]
    if broken:
        _LOGGER.warning("Options of a reader that cannot be are left out: %s", ", ".join(broken))
        options = {key: value for key, value in entry.options.items() if key not in broken}
        hass.config_entries.async_update_entry(entry, options=options)
