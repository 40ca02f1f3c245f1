"""What Home Assistant's registries hold of a reader: what it writes there, and what it finds there again."""

from collections.abc import Iterator

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .appliances import Appliance
from .const import DOMAIN
from .reader import Measurement, Reader, ReaderInfo


class Registry:
    """The devices and entities of one reader.

    Identifiers and unique ids begin with the id of the reader. A colon separates the id of an appliance,
    which its owner may have chosen to look like a measurement.
    """

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Look at the registries of a config entry."""
        assert entry.unique_id is not None
        self._reader_id = entry.unique_id
        self._entry = entry
        self._devices = dr.async_get(hass)
        self._entities = er.async_get(hass)

    def reader_identifier(self) -> tuple[str, str]:
        """Return the identifier of the reader's device."""
        return (DOMAIN, self._reader_id)

    def appliance_identifier(self, appliance_id: str) -> tuple[str, str]:
        """Return the identifier of an appliance's device."""
        return (DOMAIN, f"{self._reader_id}:{appliance_id}")

    def measurement_unique_id(self, measurement: Measurement) -> str:
        """Return the unique id of a measurement's sensor."""
        return f"{self._reader_id}_{measurement}"

    def appliance_unique_id(self, appliance_id: str, key: str) -> str:
        """Return the unique id of one of an appliance's entities."""
        return f"{self._reader_id}:{appliance_id}:{key}"

    @callback
    def register_reader(self, reader: Reader, info: ReaderInfo) -> None:
        """Write who the reader is; what has changed is updated."""
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.reader_identifier()},
            connections={
                (dr.CONNECTION_NETWORK_MAC, dr.format_mac(address)) for address in info.mac_addresses
            },
            configuration_url=f"http://{self._entry.data[CONF_HOST]}",
            manufacturer=reader.manufacturer,
            model=reader.model,
            hw_version=info.hardware,
            sw_version=info.firmware,
            serial_number=info.id,
            name=self._entry.title,
        )

    @callback
    def register_appliance(self, appliance: Appliance) -> None:
        """Write an appliance; what has changed is updated."""
        reader = self._devices.async_get_device_by_identifier(self.reader_identifier(), self._entry.entry_id)
        assert reader is not None
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.appliance_identifier(appliance.id)},
            name=appliance.name,
            model=appliance.category,
            via_device_id=reader.id,
        )

    def measurements(self) -> Iterator[Measurement]:
        """Yield the measurements that have had an entity before."""
        unique_ids = {
            entity.unique_id
            for entity in er.async_entries_for_config_entry(self._entities, self._entry.entry_id)
        }
        return (m for m in Measurement if self.measurement_unique_id(m) in unique_ids)

    def appliances(self) -> Iterator[Appliance]:
        """Yield the appliances that have been heard of before."""
        prefix = self.appliance_identifier("")[1]
        for device in dr.async_entries_for_config_entry(self._devices, self._entry.entry_id):
            for _, identifier in device.identifiers:
                if identifier.startswith(prefix):
                    appliance_id = identifier.removeprefix(prefix)
                    yield Appliance(appliance_id, device.name or appliance_id, device.model)
