"""Runtime data of a config entry."""

from dataclasses import dataclass, field

from homeassistant.config_entries import ConfigEntry, ConfigSubentryDataWithId
from homeassistant.core import callback

from .coordinator import EnergySseCoordinator
from .power_tariff.tracker import DemandTracker

type EnergySseConfigEntry = ConfigEntry[EnergySseData]


@dataclass
class EnergySseData:
    """Runtime data of a config entry."""

    coordinator: EnergySseCoordinator
    subentries: list[ConfigSubentryDataWithId]
    """Subentries at the setup."""

    tariffs: dict[str, DemandTracker] = field(default_factory=dict)
    """Trackers of the power tariffs by the id of their subentry."""

    @callback
    def async_flush(self) -> None:
        """Write all pending changes before the entry is unloaded."""
        self.coordinator.async_flush()
        for tracker in self.tariffs.values():
            tracker.async_flush()
