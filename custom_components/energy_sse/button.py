"""Button that restarts a reader."""

from typing import override

from homeassistant.components.button import ButtonDeviceClass, ButtonEntity
from homeassistant.const import CONF_HOST, EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnergySseConfigEntry
from .entity import ReaderEntity
from .issues import translate_error
from .reader import ReaderError, Restartable

# A reader handles one request at a time.
PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the button, if the reader can be restarted."""
    coordinator = entry.runtime_data.coordinator
    if isinstance(coordinator.reader, Restartable):
        async_add_entities([RestartButton(coordinator, "restart", context=None)])


class RestartButton(ReaderEntity, ButtonEntity):
    """Button that restarts the reader."""

    _attr_device_class = ButtonDeviceClass.RESTART
    _attr_entity_category = EntityCategory.CONFIG

    @property
    @override
    def available(self) -> bool:
        # A reader without a stream can be restarted, too.
        return True

    @override
    async def async_press(self) -> None:
        reader, host = self.coordinator.reader, self.coordinator.config_entry.data[CONF_HOST]
        if reader.host != host:
            # The connection is trying an announced address, where another device may respond.
            reader = reader.with_host(host)
        assert isinstance(reader, Restartable)
        try:
            await reader.restart()
        except ReaderError as error:
            raise HomeAssistantError(**translate_error(error)) from error
