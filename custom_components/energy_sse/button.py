"""Buttons: the one thing that can be done to a reader."""

from typing import override

from homeassistant.components.button import ButtonDeviceClass, ButtonEntity
from homeassistant.const import CONF_HOST, EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .entity import ReaderEntity
from .reader import ReaderError, Restartable

# A reader is asked for one thing at a time.
PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the button that restarts the reader, where it can be."""
    coordinator = entry.runtime_data
    if isinstance(coordinator.reader, Restartable):
        async_add_entities([RestartButton(coordinator, entry)])


class RestartButton(ReaderEntity, ButtonEntity):
    """Restarts the reader. It is back within a minute."""

    _attr_device_class = ButtonDeviceClass.RESTART
    _attr_entity_category = EntityCategory.CONFIG

    def __init__(self, coordinator: EnergySseCoordinator, entry: EnergySseConfigEntry) -> None:
        """Prepare the button."""
        self._entry = entry
        super().__init__(coordinator, "restart", context=None)

    @override
    async def async_press(self) -> None:
        reader, host = self.coordinator.reader, self._entry.data[CONF_HOST]
        if reader.host != host:
            # It tries an announced address, where another device may answer.
            reader = reader.with_host(host)
        assert isinstance(reader, Restartable)
        try:
            await reader.restart()
        except ReaderError as error:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="restart_failed",
                translation_placeholders={"reason": str(error)},
            ) from error
