"""Options of a power tariff: form, validation, and conversion to a `Tariff`."""

from collections.abc import Mapping
from datetime import time, timedelta
from typing import Any, Final

from homeassistant.const import CONF_ENABLED
from homeassistant.data_entry_flow import SectionConfig, section
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TimeSelector,
)
import voluptuous as vol

from ..reader import MAX_ENERGY_PER_HOUR
from .demand import MIDNIGHT, Tariff

CONF_INTERVAL: Final = "interval"
CONF_PEAKS: Final = "peaks"
CONF_ONE_PER_DAY: Final = "one_per_day"
CONF_MONTHS: Final = "months"
CONF_DAYS: Final = "days"
CONF_BEGIN: Final = "begin"
CONF_END: Final = "end"
CONF_OTHER_WEIGHT: Final = "other_weight"
CONF_MAIN_FUSE: Final = "main_fuse"
CONF_PHASES: Final = "phases"

# Minutes, as the texts of a selector.
INTERVALS: Final = ("60", "15")

MONTHS: Final = tuple(str(month) for month in range(1, 13))
DAYS: Final = ("all", "weekdays")
PHASES: Final = ("1", "3")

# Volts between a phase and neutral, and amperes of the main fuses that households have.
_VOLTAGE: Final = 230.0
_MIN_FUSE: Final = 6
_MAX_FUSE: Final = 290

_DEFAULTS: Final[Mapping[str, Any]] = {
    CONF_ENABLED: False,
    CONF_INTERVAL: "60",
    CONF_PEAKS: 3,
    CONF_ONE_PER_DAY: True,
    CONF_MONTHS: list(MONTHS),
    CONF_DAYS: "all",
    CONF_BEGIN: "00:00:00",
    CONF_END: "00:00:00",
    CONF_OTHER_WEIGHT: 0,
    CONF_PHASES: "3",
}

_FIELDS: Final[Mapping[str, Any]] = {
    CONF_ENABLED: BooleanSelector(),
    CONF_INTERVAL: SelectSelector(
        SelectSelectorConfig(options=list(INTERVALS), translation_key="demand_interval")
    ),
    CONF_PEAKS: NumberSelector(NumberSelectorConfig(min=1, max=10, step=1, mode=NumberSelectorMode.BOX)),
    CONF_ONE_PER_DAY: BooleanSelector(),
    CONF_MONTHS: SelectSelector(
        SelectSelectorConfig(
            options=list(MONTHS),
            multiple=True,
            mode=SelectSelectorMode.DROPDOWN,
            translation_key="month",
        )
    ),
    CONF_DAYS: SelectSelector(SelectSelectorConfig(options=list(DAYS), translation_key="tariff_days")),
    CONF_BEGIN: TimeSelector(),
    CONF_END: TimeSelector(),
    CONF_OTHER_WEIGHT: NumberSelector(
        NumberSelectorConfig(min=0, max=100, step=1, unit_of_measurement="%", mode=NumberSelectorMode.BOX)
    ),
    CONF_PHASES: SelectSelector(SelectSelectorConfig(options=list(PHASES), translation_key="phases")),
}

_MAIN_FUSE: Final = NumberSelector(
    NumberSelectorConfig(
        min=_MIN_FUSE, max=_MAX_FUSE, step=1, unit_of_measurement="A", mode=NumberSelectorMode.BOX
    )
)

_SETTINGS_SCHEMA: Final = vol.Schema(
    {vol.Required(key): field for key, field in _FIELDS.items()} | {vol.Optional(CONF_MAIN_FUSE): _MAIN_FUSE},
    extra=vol.REMOVE_EXTRA,
)


def form_section(chosen: Mapping[str, Any]) -> section:
    """Return the form section with the chosen values. It is expanded if the tariff is on."""
    values = {**_DEFAULTS, **chosen}
    fields: dict[vol.Marker, Any] = {
        vol.Required(key, default=values[key]): field for key, field in _FIELDS.items()
    }
    # The main fuse has no default, so that the user can clear it.
    fields[vol.Optional(CONF_MAIN_FUSE, description={"suggested_value": values.get(CONF_MAIN_FUSE)})] = (
        _MAIN_FUSE
    )
    return section(vol.Schema(fields), SectionConfig(collapsed=not values[CONF_ENABLED]))


def get_error(settings: Mapping[str, Any]) -> str | None:
    """Return the error key of invalid settings; None if they are valid, or the tariff is off."""
    settings = {**_DEFAULTS, **settings}
    if not settings[CONF_ENABLED]:
        return None
    if not settings[CONF_MONTHS]:
        return "no_months"
    begin, end = time.fromisoformat(settings[CONF_BEGIN]), time.fromisoformat(settings[CONF_END])
    if begin == end != MIDNIGHT:
        return "no_hours"
    if not all(_is_boundary(each, settings[CONF_INTERVAL]) for each in (begin, end)):
        return "hours_between_intervals"
    return None


def _is_boundary(moment: time, interval: str) -> bool:
    return not (moment.minute % int(interval) or moment.second or moment.microsecond)


def get_tariff(settings: Mapping[str, Any] | None) -> Tariff | None:
    """Return the chosen tariff; None if the tariff is off.

    Raises vol.Invalid for options that no form has accepted.
    """
    values = _SETTINGS_SCHEMA({**_DEFAULTS, **(settings or {})})
    if not values[CONF_ENABLED]:
        return None
    return Tariff(
        interval=timedelta(minutes=int(values[CONF_INTERVAL])),
        peaks=int(values[CONF_PEAKS]),
        one_per_day=values[CONF_ONE_PER_DAY],
        months=frozenset(map(int, values[CONF_MONTHS])),
        weekdays_only=values[CONF_DAYS] == "weekdays",
        begin=time.fromisoformat(values[CONF_BEGIN]),
        end=time.fromisoformat(values[CONF_END]),
        other_weight=values[CONF_OTHER_WEIGHT] / 100,
    )


def get_max_power(settings: Mapping[str, Any] | None) -> float:
    """Return the power in W that the main fuse allows; without a main fuse, the bound of the validation."""
    values = {**_DEFAULTS, **(settings or {})}
    if values.get(CONF_MAIN_FUSE) is None:
        return MAX_ENERGY_PER_HOUR
    return float(values[CONF_MAIN_FUSE]) * _VOLTAGE * int(values[CONF_PHASES])
