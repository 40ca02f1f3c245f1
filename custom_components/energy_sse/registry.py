"""What Home Assistant's registries hold of a reader: what is written there, and what is found there again."""

from collections.abc import Iterator
from typing import Final

from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.translation import async_get_cached_translations
from homeassistant.helpers.typing import UNDEFINED, UndefinedType
from homeassistant.util import slugify

from .appliances import Appliance
from .const import DOMAIN, SUB_METER_PREFIX, SubMeterKind
from .reader import Measurement, Property, Reader, ReaderInfo

# Characters. What the ids of entities have room for, beside the names of the entities themselves.
_LONGEST_NAME_IN_IDS: Final = 150


class Registry:
    """The devices and entities of one reader.

    Identifiers and unique ids begin with the id of the reader. A colon separates the id of a device below it,
    which its owner may have chosen to look like a measurement.
    """

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Look at the registries of a config entry."""
        assert entry.unique_id is not None
        self._reader_id = entry.unique_id
        self._hass = hass
        self._entry = entry
        self._devices = dr.async_get(hass)
        self._entities = er.async_get(hass)

    # -------------------------------------------------------------------------------------------- names

    @property
    def reader_identifier(self) -> tuple[str, str]:
        """The identifier of the reader's device."""
        return (DOMAIN, self._reader_id)

    def appliance_identifier(self, appliance_id: str) -> tuple[str, str]:
        """Return the identifier of an appliance's device."""
        return (DOMAIN, f"{self._reader_id}:{appliance_id}")

    def sub_meter_identifier(self, meter_id: str) -> tuple[str, str]:
        """Return the identifier of the device of a sub-meter."""
        return self.appliance_identifier(f"{SUB_METER_PREFIX}{meter_id}")

    def unique_id(self, key: str) -> str:
        """Return the unique id of one of the reader's entities."""
        return f"{self._reader_id}_{key}"

    # ------------------------------------------------------------------------------------------- writing

    @callback
    def register_reader(self, reader: Reader, info: ReaderInfo) -> None:
        """Write who the reader is; what has changed is updated."""
        connections = {(dr.CONNECTION_NETWORK_MAC, dr.format_mac(address)) for address in info.mac_addresses}
        device = self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.reader_identifier},
            connections=connections,
            configuration_url=f"http://{self._entry.data[CONF_HOST]}",
            manufacturer=reader.manufacturer,
            model=reader.model,
            hw_version=info.hardware,
            sw_version=info.firmware,
            serial_number=info.id,
            name=_fitting(self._entry.title),
        )
        # Those that it had before would stay for ever.
        self._devices.async_update_device(device.id, new_connections=connections)

    @callback
    def register_appliance(self, appliance: Appliance) -> None:
        """Write an appliance; what has changed is updated."""
        category = appliance.category
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.appliance_identifier(appliance.id)},
            name=_fitting(appliance.name),
            model=UNDEFINED if category is None else self._model(category),
            # It was the category once, which a page showed twice.
            model_id=None,
            via_device_id=self._reader_device_id(),
        )

    def _model(self, category: str) -> str:
        """Return a category in the language of the home, if it is a known one, and readable anyway.

        The vendor publishes no list of categories, but one of them: "coffee-makers".
        """
        language = self._hass.config.language
        texts = async_get_cached_translations(self._hass, language, "device", DOMAIN)
        singular = category.removesuffix("s").replace("-", "_")
        fallback = category.replace("-", " ").capitalize()
        return texts.get(f"component.{DOMAIN}.device.category_{singular}.name", fallback)

    @callback
    def register_sub_meter(self, meter_id: str, kind: SubMeterKind) -> None:
        """Write a sub-meter, named after what it measures."""
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.sub_meter_identifier(meter_id)},
            serial_number=meter_id,
            translation_key=f"sub_meter_{kind}",
            translation_placeholders={"meter_id": _fitting(meter_id)},
            via_device_id=self._reader_device_id(),
        )

    def _reader_device_id(self) -> str | UndefinedType:
        """Return the id of the reader's device, if nobody has removed it since the reader said who it is."""
        device = self._devices.async_get_device_by_identifier(self.reader_identifier, self._entry.entry_id)
        return UNDEFINED if device is None else device.id

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
            if not sub_id.startswith(SUB_METER_PREFIX):
                yield Appliance(sub_id, device.name or sub_id, device.model_id)

    def has_state_sensor(self, appliance_id: str) -> bool:
        """Return whether an appliance has had a sensor of its state, because it has more than two states."""
        return f"{self.appliance_identifier(appliance_id)[1]}:state" in self._unique_ids()

    def sub_meters(self) -> Iterator[str]:
        """Yield the ids of the sub-meters that have been heard of before."""
        for sub_id, _ in self._sub_devices():
            if sub_id.startswith(SUB_METER_PREFIX):
                yield sub_id.removeprefix(SUB_METER_PREFIX)

    def entity_id(self, platform: Platform, key: str) -> str | None:
        """Return the id of one of the reader's entities, if there has been one.

        If the user has made two entries for one reader, only one of them has the entities.
        """
        entity_id = self._entities.async_get_entity_id(platform, DOMAIN, self.unique_id(key))
        entity = None if entity_id is None else self._entities.async_get(entity_id)
        return entity_id if entity is not None and entity.config_entry_id == self._entry.entry_id else None

    def sub_meter_sensor(self, meter_id: str) -> str | None:
        """Return the id of a sub-meter's sensor, if there has been one."""
        return self._entities.async_get_entity_id(
            Platform.SENSOR, DOMAIN, self.sub_meter_identifier(meter_id)[1]
        )

    def sub_meter_has_statistics(self, meter_id: str) -> bool:
        """Return whether a sub-meter's sensor has been one with statistics before."""
        entity_id = self.sub_meter_sensor(meter_id)
        sensor = None if entity_id is None else self._entities.async_get(entity_id)
        return sensor is not None and ATTR_STATE_CLASS in (sensor.capabilities or {})

    def sub_device_id(self, device: dr.DeviceEntry) -> str | None:
        """Return the id of a device below the reader: an appliance's, or a sub-meter's with its prefix."""
        prefix = self.appliance_identifier("")[1]
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


def _fitting(name: str) -> str:
    """Return a name, cut where the ids made from it would be too long: a character can become many there."""
    while len(slugify(name)) > _LONGEST_NAME_IN_IDS:
        name = name[: len(name) * 3 // 4]
    return name
