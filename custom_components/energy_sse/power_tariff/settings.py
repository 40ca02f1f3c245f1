"""Rules of a power tariff: fields of its dialog, and conversion to a `PowerTariff`."""

from collections.abc import Iterable, Mapping
from datetime import time, timedelta
from typing import Any, Final

from homeassistant.const import Platform
from homeassistant.helpers.selector import (
    BooleanSelector,
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
)
import voluptuous as vol

from ..form_fields import dropdown, number_box
from .demand import PowerTariff

CONF_INTERVAL: Final = "interval"
CONF_PEAKS: Final = "peaks"
CONF_ONE_PER_DAY: Final = "one_per_day"
CONF_MONTHS: Final = "months"
CONF_DAYS: Final = "days"
CONF_DAYS_OFF: Final = "days_off"
CONF_BEGIN: Final = "begin"
CONF_END: Final = "end"
CONF_OTHER_WEIGHT: Final = "other_weight"
CONF_MIN_LIMIT: Final = "min_limit"
CONF_MIN_LIMIT_SHARE: Final = "min_limit_share"
CONF_PRICE: Final = "price"

# Minutes, as the texts of a selector.
INTERVALS: Final = ("60", "15")

MONTHS: Final = tuple(str(month) for month in range(1, 13))
DAYS: Final = ("all", "weekdays")

# Begin and end of a day. `time.fromisoformat` returns midnight for both.
DAY_BEGIN: Final = "00:00"
DAY_END: Final = "24:00"

DEFAULTS: Final[Mapping[str, Any]] = {
    CONF_INTERVAL: "60",
    CONF_PEAKS: 3,
    CONF_ONE_PER_DAY: True,
    CONF_MONTHS: list(MONTHS),
    CONF_DAYS: "all",
    CONF_BEGIN: DAY_BEGIN,
    CONF_END: DAY_END,
    CONF_OTHER_WEIGHT: 0,
    CONF_MIN_LIMIT: 0,
    CONF_MIN_LIMIT_SHARE: 0,
    CONF_PRICE: 0,
}

# Defaults of a new power tariff. Existing power tariffs without a lowest limit stay without one.
NEW_DEFAULTS: Final[Mapping[str, Any]] = {**DEFAULTS, CONF_MIN_LIMIT_SHARE: 50}


def times(interval: str) -> list[str]:
    """Return the times at which an interval begins, and the end of the day."""
    minutes = int(interval)
    return [f"{each // 60:02}:{each % 60:02}" for each in range(0, 24 * 60 + 1, minutes)]


PEAK_FIELDS: Final[Mapping[str, Any]] = {
    CONF_INTERVAL: dropdown(INTERVALS, "demand_interval"),
    CONF_PEAKS: number_box(1, 10),
    CONF_ONE_PER_DAY: BooleanSelector(),
}

MONTH_FIELD: Final = dropdown(MONTHS, "month")

DAYS_FIELD: Final = dropdown(DAYS, "tariff_days")

# `domain` instead of `filter`, because Home Assistant validates only `domain`.
DAYS_OFF_FIELD: Final = EntitySelector(
    EntitySelectorConfig(domain=[Platform.CALENDAR, Platform.BINARY_SENSOR])
)

OTHER_WEIGHT_FIELD: Final = number_box(0, 100, "%")

_MAX_PRICE: Final = 1_000_000


def price_field(currency: str | None = None) -> NumberSelector:
    """Return a field for the price of a kW."""
    return number_box(0, _MAX_PRICE, currency and f"{currency}/kW", step="any")


LIMIT_FIELDS: Final[Mapping[str, Any]] = {
    CONF_MIN_LIMIT: number_box(0, 100, "kW", step="any"),
    CONF_MIN_LIMIT_SHARE: number_box(0, 100, "%"),
}

# The quarters are all times at which an interval can begin.
_TIME_FIELD: Final = dropdown(times("15"))

_RULES_SCHEMA: Final = vol.Schema(
    {
        **{vol.Required(key): field for key, field in PEAK_FIELDS.items()},
        vol.Required(CONF_MONTHS): dropdown(MONTHS, multiple=True),
        vol.Required(CONF_DAYS): DAYS_FIELD,
        vol.Optional(CONF_DAYS_OFF): DAYS_OFF_FIELD,
        vol.Required(CONF_BEGIN): _TIME_FIELD,
        vol.Required(CONF_END): _TIME_FIELD,
        vol.Required(CONF_OTHER_WEIGHT): OTHER_WEIGHT_FIELD,
        **{vol.Required(key): field for key, field in LIMIT_FIELDS.items()},
        vol.Required(CONF_PRICE): price_field(),
    },
    extra=vol.REMOVE_EXTRA,
)


def get_tariff(rules: Mapping[str, Any]) -> PowerTariff:
    """Return the tariff with some rules.

    Raises vol.Invalid for rules that no dialog has accepted.
    """
    values = _RULES_SCHEMA({**DEFAULTS, **rules})
    return PowerTariff(
        interval=timedelta(minutes=int(values[CONF_INTERVAL])),
        peaks=int(values[CONF_PEAKS]),
        one_per_day=values[CONF_ONE_PER_DAY],
        months=frozenset(map(int, values[CONF_MONTHS])),
        weekdays_only=values[CONF_DAYS] == "weekdays",
        begin=time.fromisoformat(values[CONF_BEGIN]),
        end=time.fromisoformat(values[CONF_END]),
        other_weight=values[CONF_OTHER_WEIGHT] / 100,
        min_limit=values[CONF_MIN_LIMIT] * 1000,
        min_limit_share=values[CONF_MIN_LIMIT_SHARE] / 100,
        price=values[CONF_PRICE],
    )


# ---------------------------------------------------------------------------------------------- months


def months_between(first: str, last: str) -> list[str]:
    """Return the months from the first to the last one, which can be in the next year."""
    begin, number = int(first) - 1, (int(last) - int(first)) % 12 + 1
    return [MONTHS[(begin + each) % 12] for each in range(number)]


def first_and_last(months: Iterable[str]) -> tuple[str, str]:
    """Return the first and the last month of the shortest range that has all of some months."""
    chosen = set(months)
    ranges = (months_between(first, last) for first in MONTHS for last in MONTHS)
    shortest = min((each for each in ranges if chosen <= set(each)), key=len)
    return shortest[0], shortest[-1]
