"""What Home Assistant's registries hold of a reader: what is written there, and what is found there again."""

from collections.abc import Iterator

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .appliances import Appliance
from .const import DOMAIN, CounterKind
from .reader import Measurement, Property, Reader, ReaderInfo

# Sets counters apart from appliances, whose ids are words without a colon.
_COUNTER_PREFIX = "counter:"


class Registry:
    """The devices and entities of one reader.

    Identifiers and unique ids begin with the id of the reader. A colon separates the id of a device below it,
    which its owner may have chosen to look like a measurement.
    """

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Look at the registries of a config entry."""
        assert entry.unique_id is not None
        self._reader_id = entry.unique_id
        self._entry = entry
        self._devices = dr.async_get(hass)
        self._entities = er.async_get(hass)

    # -------------------------------------------------------------------------------------------- names

    @property
    def reader(self) -> tuple[str, str]:
        """The identifier of the reader's device."""
        return (DOMAIN, self._reader_id)

    def appliance(self, appliance_id: str) -> tuple[str, str]:
        """Return the identifier of an appliance's device."""
        return (DOMAIN, f"{self._reader_id}:{appliance_id}")

    def counter(self, meter_id: str) -> tuple[str, str]:
        """Return the identifier of the device of a counter that the meter passes on."""
        return self.appliance(f"{_COUNTER_PREFIX}{meter_id}")

    def unique_id(self, key: str) -> str:
        """Return the unique id of one of the reader's entities."""
        return f"{self._reader_id}_{key}"

    # ------------------------------------------------------------------------------------------- writing

    @callback
    def register_reader(self, reader: Reader, info: ReaderInfo) -> None:
        """Write who the reader is; what has changed is updated."""
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.reader},
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
        category = appliance.category
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.appliance(appliance.id)},
            name=appliance.name,
            model=None if category is None else category.replace("-", " ").capitalize(),
            model_id=category,
            via_device_id=self._reader_device_id(),
        )

    @callback
    def register_counter(self, meter_id: str, kind: CounterKind) -> None:
        """Write a counter that the meter passes on, named after what it counts."""
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.counter(meter_id)},
            serial_number=meter_id,
            translation_key=f"counter_{kind}",
            translation_placeholders={"meter_id": meter_id},
            via_device_id=self._reader_device_id(),
        )

    def _reader_device_id(self) -> str:
        device = self._devices.async_get_device_by_identifier(self.reader, self._entry.entry_id)
        assert device is not None, "a reader says who it is before anything else"
        return device.id

    # ------------------------------------------------------------------------------------------- finding

    def measurements(self) -> Iterator[Measurement]:
        """Yield the measurements that have had an entity before."""
        unique_ids = self._unique_ids()
        return (m for m in Measurement if self.unique_id(m) in unique_ids)

    def properties(self) -> Iterator[Property]:
        """Yield the properties that have had an entity before."""
        unique_ids = self._unique_ids()
        return (p for p in Property if self.unique_id(p) in unique_ids)

    def appliances(self) -> Iterator[Appliance]:
        """Yield the appliances that have been heard of before."""
        for sub_id, device in self._sub_devices():
            if not sub_id.startswith(_COUNTER_PREFIX):
                yield Appliance(sub_id, device.name or sub_id, device.model_id)

    def counters(self) -> Iterator[str]:
        """Yield the meter ids of the counters that have been heard of before."""
        for sub_id, _ in self._sub_devices():
            if sub_id.startswith(_COUNTER_PREFIX):
                yield sub_id.removeprefix(_COUNTER_PREFIX)

    def sub_device_id(self, device: dr.DeviceEntry) -> str | None:
        """Return the id of a device below the reader: an appliance's, or a counter's with its prefix."""
        prefix = self.appliance("")[1]
        return next(
            (
                identifier.removeprefix(prefix)
                for domain, identifier in device.identifiers
                if domain == DOMAIN and identifier.startswith(prefix)
            ),
            None,
        )

    def _sub_devices(self) -> Iterator[tuple[str, dr.DeviceEntry]]:
        for device in dr.async_entries_for_config_entry(self._devices, self._entry.entry_id):
            if (sub_id := self.sub_device_id(device)) is not None:
                yield sub_id, device

    def _unique_ids(self) -> set[str]:
        entries = er.async_entries_for_config_entry(self._entities, self._entry.entry_id)
        return {entry.unique_id for entry in entries}
