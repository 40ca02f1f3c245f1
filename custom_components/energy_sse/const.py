"""What several modules of the integration agree on."""

from typing import Final

DOMAIN: Final = "energy_sse"

# Key of a config entry's data, beside the host and the password.
CONF_KIND: Final = "kind"
