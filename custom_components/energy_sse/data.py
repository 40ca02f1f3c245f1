"""Runtime data of a config entry."""

from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import callback

from .coordinator import EnergySseCoordinator
from .power_tariff.tracker import DemandTracker

type EnergySseConfigEntry = ConfigEntry[EnergySseData]


@dataclass
class EnergySseData:
    """Runtime data of a config entry."""

    coordinator: EnergySseCoordinator
    tariff: DemandTracker | None = None

    @callback
    def async_flush(self) -> None:
        """Write all pending changes before the entry is unloaded."""
        self.coordinator.async_flush()
        if self.tariff is not None:
            self.tariff.async_flush()
