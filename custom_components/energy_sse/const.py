"""What several modules of the integration agree on."""

from enum import StrEnum
from typing import Final

DOMAIN: Final = "energy_sse"

# Keys of a config entry's data, beside the host and the password.
CONF_ENTERED_HOST: Final = "entered_host"
CONF_KIND: Final = "kind"
CONF_AUTH_SCHEME: Final = "login"

# Keys of a config entry's options. What is stored still says *counters* for sub-meters.
CONF_SUB_METERS: Final = "counters"
CONF_FILL_MISSED_HOURS: Final = "fill_missed_hours"
CONF_POWER_TARIFF: Final = "power_tariff"
CONF_WRITE_INTERVAL: Final = "write_interval"


# Sets sub-meters apart from appliances. What is stored says *counter*.
SUB_METER_PREFIX: Final = "counter:"


class SubMeterKind(StrEnum):
    """What a sub-meter measures, which its owner knows and the wire does not say."""

    NONE = "none"
    GAS = "gas"
    WATER = "water"
    HEAT = "heat"


class TariffKey(StrEnum):
    """What is shown of a power tariff. Each is also the key of its entity."""

    DEMAND = "demand"
    EXPECTED_DEMAND = "expected_demand"
    PEAK_DEMAND = "peak_demand"
    PREVIOUS_PEAK_DEMAND = "previous_peak_demand"
    DEMAND_LIMIT = "demand_limit"
    AVAILABLE_POWER = "available_power"
    PEAK_EXPECTED = "peak_expected"
