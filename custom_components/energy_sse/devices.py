"""Devices and entities of a reader in Home Assistant's registries."""

from collections.abc import Iterator
from typing import Final

from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.const import CONF_HOST, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.translation import async_get_cached_translations
from homeassistant.helpers.typing import UNDEFINED, UndefinedType
from homeassistant.util import slugify

from .appliances import Appliance
from .const import DOMAIN, SUB_METER_PREFIX, PowerTariffKey, SubMeterKind
from .reader import Measurement, Property, Reader, ReaderInfo

# Characters of a device name in entity ids, so that the names of the entities fit, too.
_MAX_NAME_LENGTH: Final = 150


class Devices:
    """Registry entries of one reader.

    Identifiers and unique ids begin with the id of the reader. A colon separates the id of an appliance or a
    sub-meter, because the owner can give an appliance the name of a measurement.
    """

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Read the registries of a config entry."""
        assert entry.unique_id is not None
        self._reader_id = entry.unique_id
        self._hass = hass
        self._entry = entry
        self._devices = dr.async_get(hass)
        self._entities = er.async_get(hass)
        self._registered: dict[str, tuple[str, str | None]] = {}
        """Cached names and categories of the appliances in the registry."""

    # --------------------------------------------------------------------------- identifiers

    @property
    def reader_identifier(self) -> tuple[str, str]:
        """Identifier of the reader's device."""
        return (DOMAIN, self._reader_id)

    def appliance_identifier(self, appliance_id: str) -> tuple[str, str]:
        """Return the identifier of an appliance's device."""
        return (DOMAIN, f"{self._reader_id}:{appliance_id}")

    def sub_meter_identifier(self, meter_id: str) -> tuple[str, str]:
        """Return the identifier of a sub-meter's device."""
        return self.appliance_identifier(f"{SUB_METER_PREFIX}{meter_id}")

    def tariff_identifier(self, subentry_id: str) -> tuple[str, str]:
        """Return the identifier of a power tariff's device."""
        return (DOMAIN, self.unique_id(subentry_id))

    def unique_id(self, key: str) -> str:
        """Return the unique id of one of the reader's entities."""
        return f"{self._reader_id}_{key}"

    def tariff_unique_id(self, subentry_id: str, key: PowerTariffKey) -> str:
        """Return the unique id of one of a power tariff's entities."""
        return self.unique_id(self._tariff_key(subentry_id, key))

    def _tariff_key(self, subentry_id: str, key: PowerTariffKey) -> str:
        return key if self.is_migrated_tariff(subentry_id) else f"{subentry_id}_{key}"

    def is_migrated_tariff(self, subentry_id: str) -> bool:
        """Return whether a power tariff was an option before (`migration.py`)."""
        return subentry_id == self._entry.entry_id

    # ------------------------------------------------------------------------------- updates

    @callback
    def async_update_reader(self, reader: Reader, info: ReaderInfo) -> None:
        """Create or update the device of the reader."""
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
            name=_shorten(self._entry.title),
        )
        # `async_get_or_create` only adds connections, and keeps earlier ones.
        self._devices.async_update_device(device.id, new_connections=connections)

    @callback
    def async_update_appliance(self, appliance: Appliance) -> None:
        """Create the device of an appliance, or update it after its name or category has changed."""
        name_and_category = appliance.name, appliance.category
        if self._registered.get(appliance.id) == name_and_category:
            return
        category = appliance.category
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.appliance_identifier(appliance.id)},
            name=_shorten(appliance.name),
            model=UNDEFINED if category is None else self._model(category),
            # Earlier versions stored the category here, and the page of the device showed it twice.
            model_id=None,
            via_device_id=self._reader_device_id(),
        )
        self._registered[appliance.id] = name_and_category

    def _model(self, category: str) -> str:
        """Return the translated name of a category; for an unknown one, its own text in readable form.

        The vendor documents only one of the categories: "coffee-makers".
        """
        singular = category.removesuffix("s").replace("-", "_")
        return self._device_text(f"category_{singular}") or category.replace("-", " ").capitalize()

    def _device_text(self, key: str) -> str | None:
        """Return the name of a device in the language of Home Assistant; None if it is not translated."""
        language = self._hass.config.language
        texts = async_get_cached_translations(self._hass, language, "device", DOMAIN)
        return texts.get(f"component.{DOMAIN}.device.{key}.name")

    @callback
    def async_update_sub_meter(self, meter_id: str, kind: SubMeterKind) -> None:
        """Create or update the device of a sub-meter, named after its kind."""
        name = self._device_text(f"sub_meter_{kind}")
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={self.sub_meter_identifier(meter_id)},
            # The name without the number.
            model=None if name is None else name.replace("{meter_id}", "").strip(),
            serial_number=meter_id,
            translation_key=f"sub_meter_{kind}",
            translation_placeholders={"meter_id": _shorten(meter_id)},
            via_device_id=self._reader_device_id(),
        )

    @callback
    def async_update_tariff(self, subentry: ConfigSubentry) -> None:
        """Create or update the device of a power tariff, which has the name of its subentry."""
        self._devices.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            config_subentry_id=subentry.subentry_id,
            identifiers={self.tariff_identifier(subentry.subentry_id)},
            entry_type=dr.DeviceEntryType.SERVICE,
            name=_shorten(subentry.title),
            via_device_id=self._reader_device_id(),
        )

    @callback
    def async_remove_sensor(self, entity_id: str | None) -> None:
        """Remove a sensor that this entry does not have any more; do nothing for None."""
        if entity_id is not None:
            self._entities.async_remove(entity_id)

    @callback
    def async_clear_appliance(self, appliance_id: str) -> None:
        """Clear the cached name and category of an appliance, whose device the user deletes."""
        self._registered.pop(appliance_id, None)

    def _reader_device_id(self) -> str | UndefinedType:
        """Return the id of the reader's device, unless the user has deleted it."""
        device = self._devices.async_get_device_by_identifier(self.reader_identifier, self._entry.entry_id)
        return UNDEFINED if device is None else device.id

    # ------------------------------------------------------------------------------- lookup

    def measurements(self) -> set[Measurement]:
        """Return the measurements that have an entity."""
        unique_ids = self._unique_ids()
        return {each for each in Measurement if self.unique_id(each) in unique_ids}

    def properties(self) -> set[Property]:
        """Return the properties that have an entity."""
        unique_ids = self._unique_ids()
        return {each for each in Property if self.unique_id(each) in unique_ids}

    def appliances(self) -> Iterator[Appliance]:
        """Yield the appliances that have a device."""
        for sub_id, device in self._sub_devices():
            if not sub_id.startswith(SUB_METER_PREFIX):
                yield Appliance(sub_id, device.name or sub_id, device.model_id)

    def has_state_sensor(self, appliance_id: str) -> bool:
        """Return whether an appliance has had a sensor of its state, because it has more than two states."""
        return f"{self.appliance_identifier(appliance_id)[1]}:state" in self._unique_ids()

    def sub_meters(self) -> Iterator[str]:
        """Yield the ids of the sub-meters that have a device."""
        for sub_id, _ in self._sub_devices():
            if sub_id.startswith(SUB_METER_PREFIX):
                yield sub_id.removeprefix(SUB_METER_PREFIX)

    def entity_id(self, platform: Platform, key: str) -> str | None:
        """Return the id of one of the reader's entities; None if this entry does not have it.

        If the user has added a reader twice, only one of the entries has the entities.
        """
        entity_id = self._entities.async_get_entity_id(platform, DOMAIN, self.unique_id(key))
        entity = None if entity_id is None else self._entities.async_get(entity_id)
        return entity_id if entity is not None and entity.config_entry_id == self._entry.entry_id else None

    def tariff_sensor_id(self, subentry_id: str, key: PowerTariffKey) -> str | None:
        """Return the entity id of one of a power tariff's sensors; None if this entry does not have it."""
        return self.entity_id(Platform.SENSOR, self._tariff_key(subentry_id, key))

    def sub_meter_has_statistics(self, meter_id: str, unit: str | None) -> bool | None:
        """Return whether the sensor of a sub-meter keeps its state class; None if the sensor is new.

        False if the registry has no state class of the sensor, or if the sensor loses its unit. Without the
        unit, the recorder would log a warning with the entity id, which contains the number of the meter.
        """
        unique_id = self.sub_meter_identifier(meter_id)[1]
        entity_id = self._entities.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
        sensor = None if entity_id is None else self._entities.async_get(entity_id)
        if sensor is None:
            return None
        has_lost_unit = unit is None and sensor.unit_of_measurement is not None
        return ATTR_STATE_CLASS in (sensor.capabilities or {}) and not has_lost_unit

    def sub_device_id(self, device: dr.DeviceEntry) -> str | None:
        """Return the id of an appliance or, with its prefix, of a sub-meter; None for any other device."""
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


def _shorten(name: str) -> str:
    """Shorten a name for entity ids, in which one character can become several."""
    while len(slugify(name)) > _MAX_NAME_LENGTH:
        name = name[: len(name) * 3 // 4]
    return name
