"""Migration of config entries, and of their stored data.

Versions of the entry: version 1 stored three files, and some values of appliances in the restored states of
Home Assistant. Version 2 stored one file, and one power tariff with the main fuse in the options. Version 3
has a subentry for each power tariff. The file has a version of its own (`STORAGE_VERSION`), which is 2 since
version 2 of the entry. A downgrade is not supported.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, override

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.const import CONF_ENABLED, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, restore_state
from homeassistant.helpers.storage import Store

from .const import (
    CONF_MAIN_FUSE,
    CONF_PHASES,
    CONF_POWER_TARIFF,
    ENTRY_VERSION,
    LOGGER,
    SUBENTRY_POWER_TARIFF,
    PowerTariffKey,
)
from .devices import Devices
from .form_fields import whole
from .power_tariff.settings import CONF_BEGIN, CONF_END, DAY_BEGIN, DAY_END, DEFAULTS
from .store import STORAGE_VERSION, async_remove_file, storage_key
from .tariff_flow import async_default_name

_REGISTERS: Final = ".registers"
_POWER_TARIFF: Final = ".power_tariff"

# Platform and key of the entities that restored a value → key of the value now, and in the restored data.
_RESTORED: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    (Platform.BINARY_SENSOR, "running"): ("is_on", "is_on"),
    (Platform.SENSOR, "power"): ("power", "native_value"),
}


async def async_migrate_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Migrate an entry to version 3. Return False for an entry of a later version."""
    if entry.version > ENTRY_VERSION:
        return False
    if entry.version == 1:
        await _async_migrate_files(hass, entry)
    if entry.version < ENTRY_VERSION:
        _migrate_power_tariff(hass, entry, await async_default_name(hass))
    return True


def _migrate_power_tariff(hass: HomeAssistant, entry: ConfigEntry, name: str) -> None:
    """Replace the option of a power tariff by a subentry, if it is on, and by the options of the supply."""
    options = dict(entry.options)
    settings = options.pop(CONF_POWER_TARIFF, None)
    if isinstance(settings, Mapping):
        options |= {key: whole(settings[key]) for key in (CONF_MAIN_FUSE, CONF_PHASES) if key in settings}
        if settings.get(CONF_ENABLED) is True:
            # This id shows that the entities keep the unique ids of version 2. It is constant, so that a
            # migration that a power failure has interrupted can be repeated with the same registries.
            subentry = ConfigSubentry(
                data=MappingProxyType(_migrate_rules(settings)),
                subentry_id=entry.entry_id,
                subentry_type=SUBENTRY_POWER_TARIFF,
                title=name,
                unique_id=None,
            )
            hass.config_entries.async_add_subentry(entry, subentry)
            _move_entities(hass, entry, subentry.subentry_id)
    hass.config_entries.async_update_entry(entry, options=options, version=ENTRY_VERSION)


def _migrate_rules(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules of a power tariff. Times had seconds, and all numbers were floats."""
    rules = {key: whole(value) for key, value in settings.items() if key in DEFAULTS}
    for key in (CONF_BEGIN, CONF_END):
        if isinstance(time := rules.get(key), str):
            rules[key] = time.removesuffix(":00") if time.count(":") > 1 else time
    if rules.get(CONF_END) == DAY_BEGIN:
        rules[CONF_END] = DAY_END
    return rules


def _move_entities(hass: HomeAssistant, entry: ConfigEntry, subentry_id: str) -> None:
    """Move the entities of a power tariff to its subentry."""
    entities, devices = er.async_get(hass), Devices(hass, entry)
    for key in PowerTariffKey:
        platform = Platform.BINARY_SENSOR if key is PowerTariffKey.PEAK_EXPECTED else Platform.SENSOR
        if (entity_id := devices.entity_id(platform, key)) is not None:
            entities.async_update_entity(entity_id, config_subentry_id=subentry_id)


async def _async_migrate_files(hass: HomeAssistant, entry: ConfigEntry) -> None:
    store = _MigratingStore(hass, entry)
    try:
        is_migrated = await store.async_load() is not None
    except Exception:
        LOGGER.exception("Unexpected error while migrating stored data, which is ignored")
        is_migrated = False
    if not is_migrated and (sections := await store.async_sections({})):
        await store.async_save(sections)
    # After a power failure, this can be the second migration, because the entry is saved later than the file.
    for suffix in (_REGISTERS, _POWER_TARIFF):
        await async_remove_file(hass, store.key + suffix)


class _MigratingStore(Store[dict[str, Any]]):
    """Store that creates version 2 of the file from the three files of version 1."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        super().__init__(hass, STORAGE_VERSION, storage_key(entry.entry_id), private=True)
        self._entry = entry

    @override
    async def _async_migrate_func(
        self, old_major_version: int, old_minor_version: int, old_data: dict[str, Any]
    ) -> dict[str, Any]:
        return await self.async_sections(old_data)

    async def async_sections(self, readings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sections of the new file. `readings` is the data of the first file of version 1."""
        states = await _async_load(self.hass, restore_state.STORAGE_KEY, list[dict[str, Any]]())
        sections: dict[str, Any] = {}
        for name, migrate in (
            ("meter", partial(_meter, readings)),
            ("sub_meters", partial(_sub_meters, readings)),
            ("appliances", partial(_appliances, self.hass, self._entry, readings, states)),
        ):
            try:
                sections[name] = migrate()
            except Exception:
                LOGGER.exception("Unexpected error while migrating stored data, which is ignored")
        for name, suffix in (("registers", _REGISTERS), ("power_tariff", _POWER_TARIFF)):
            sections[name] = await _async_load(self.hass, self.key + suffix, dict[str, Any]())
        return {name: data for name, data in sections.items() if data}


def _meter(readings: Mapping[str, Any]) -> dict[str, Any]:
    if not readings:
        return {}
    received_at = readings.get("heard_at", {})
    return {"registers": dict(readings["registers"]), "received_at": dict(received_at)}


def _sub_meters(readings: Mapping[str, Any]) -> dict[str, Any]:
    received_at = readings.get("counters_heard_at", {})
    return {"registers": dict(readings.get("counters", {})), "received_at": dict(received_at)}


def _appliances(
    hass: HomeAssistant, entry: ConfigEntry, readings: Mapping[str, Any], states: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the stored appliances with the values that their entities restored."""
    extra_data = {each["state"]["entity_id"]: each.get("extra_data") or {} for each in states}
    stored: Mapping[str, Mapping[str, Any]] = readings.get("appliances", {})
    appliances = {appliance_id: dict(data) for appliance_id, data in stored.items()}
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        appliance_id, _, key = entity.unique_id.partition(":")[2].rpartition(":")
        restored = extra_data.get(entity.entity_id, {})
        if (entity.domain, key) in _RESTORED:
            name, value = _RESTORED[entity.domain, key]
            appliance = appliances.setdefault(appliance_id, {"changed_at": None, "changes": []})
            appliance[name] = restored.get(value)
    return appliances


async def _async_load[T: (dict[str, Any], list[dict[str, Any]])](
    hass: HomeAssistant, key: str, default: T
) -> T:
    """Return the data of a file of version 1; the default if it does not exist or is damaged."""
    try:
        return await Store[T](hass, 1, key, private=True).async_load() or default
    except Exception:
        LOGGER.exception("Unexpected error while migrating stored data, which is ignored")
        return default
