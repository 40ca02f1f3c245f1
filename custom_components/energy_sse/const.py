"""What several modules of the integration agree on."""

from enum import StrEnum
from typing import Final

DOMAIN: Final = "energy_sse"

# Key of a config entry's data, beside the host and the password.
CONF_KIND: Final = "kind"

# Keys of a config entry's options.
CONF_COUNTERS: Final = "counters"
CONF_FILL_MISSED_HOURS: Final = "fill_missed_hours"
CONF_WRITE_INTERVAL: Final = "write_interval"


class CounterKind(StrEnum):
    """What a counter counts, which its owner knows and the wire does not say."""

    NONE = "none"
    GAS = "gas"
    WATER = "water"
    HEAT = "heat"
