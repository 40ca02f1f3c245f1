"""Constants of several modules."""

from enum import StrEnum
import logging
from typing import Final

DOMAIN: Final = "energy_sse"
LOGGER: Final = logging.getLogger(__package__)

DOCUMENTATION: Final = "https://github.com/energy-sse/energy_sse/blob/main/docs"

# Some values differ from the names of their constants, because they are stored under earlier names.

# Keys of a config entry's data, besides the host and the password.
CONF_ENTERED_HOST: Final = "entered_host"
CONF_KIND: Final = "kind"
CONF_AUTH_SCHEME: Final = "login"

# Keys of a config entry's options.
CONF_SUB_METERS: Final = "counters"
CONF_FILL_MISSED_HOURS: Final = "fill_missed_hours"
CONF_MAIN_FUSE: Final = "main_fuse"
CONF_PHASES: Final = "phases"
CONF_WRITE_INTERVAL: Final = "write_interval"

# Type of the subentries with a power tariff.
SUBENTRY_POWER_TARIFF: Final = "power_tariff"

# Option of entries before version 3, which had one power tariff at most.
CONF_POWER_TARIFF: Final = "power_tariff"

ENTRY_VERSION: Final = 3

# Prefix of the ids of sub-meters, which distinguishes them from the ids of appliances.
SUB_METER_PREFIX: Final = "counter:"


class SubMeterKind(StrEnum):
    """Kind of a sub-meter, which the user chooses because the protocol does not contain it."""

    NONE = "none"
    GAS = "gas"
    WATER = "water"
    HEAT = "heat"


class PowerTariffKey(StrEnum):
    """Value of a power tariff, and key of its entity."""

    DEMAND = "demand"
    EXPECTED_DEMAND = "expected_demand"
    PEAK_DEMAND = "peak_demand"
    PREVIOUS_PEAK_DEMAND = "previous_peak_demand"
    DEMAND_LIMIT = "demand_limit"
    AVAILABLE_POWER = "available_power"
    PEAK_EXPECTED = "peak_expected"
    PEAK_TIME = "peak_time"
    MISSED_INTERVALS = "missed_intervals"
    PEAK_COST = "peak_cost"
    PREVIOUS_PEAK_COST = "previous_peak_cost"


# Values that only a power tariff with a price has.
COST_KEYS: Final = frozenset({PowerTariffKey.PEAK_COST, PowerTariffKey.PREVIOUS_PEAK_COST})
