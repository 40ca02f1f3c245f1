"""Options of a reader."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from homeassistant.config_entries import (
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
    OptionsFlowWithReload,
)
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.selector import BooleanSelector
from homeassistant.util import dt as dt_util
import voluptuous as vol

from .const import (
    CONF_FILL_MISSED_HOURS,
    CONF_MAIN_FUSE,
    CONF_PHASES,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    LOGGER,
    SubMeterKind,
)
from .data import EnergySseConfigEntry
from .devices import Devices
from .form_fields import dropdown, get_fraction_errors, number_box, whole
from .issues import escape_markdown
from .reader import is_number

# Seconds, as texts of a selector. In each interval, a sensor that changes writes a row into the database.
# No choice is longer than the shortest freshness limit (60 s, `freshness.py`). With a longer one, the last
# reading before an outage would not be written.
WRITE_INTERVALS: Final = ["0", "5", "10", "30", "60"]

# Seconds. A longer stored interval is invalid.
_MAX_WRITE_INTERVAL: Final = 3600

_DAY: Final = 86400

# Seconds between two readings of the fastest meters.
_MIN_INTERVAL: Final = 1.0

# Bytes of a state in the recorder's database, with its part of the indexes (`scripts/bench database`).
_BYTES_PER_STATE: Final = 170

PHASES: Final = ("1", "3")

# Amperes of the main fuses that households have.
_MIN_FUSE: Final = 6
_MAX_FUSE: Final = 290

_VALIDATORS: Final[Mapping[str, Callable[[Any], bool]]] = {
    CONF_WRITE_INTERVAL: lambda value: is_number(value) and 0 <= value <= _MAX_WRITE_INTERVAL,
    CONF_FILL_MISSED_HOURS: lambda value: isinstance(value, bool),
    CONF_SUB_METERS: lambda value: isinstance(value, Mapping),
    CONF_MAIN_FUSE: lambda value: is_number(value) and _MIN_FUSE <= value <= _MAX_FUSE,
    CONF_PHASES: lambda value: value in PHASES,
}


@callback
def async_remove_invalid_options(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Remove options that no form accepts, for example from a damaged file, so that the defaults apply."""
    invalid = [
        key
        for key, is_valid in _VALIDATORS.items()
        if key in entry.options and not is_valid(entry.options[key])
    ]
    if invalid:
        LOGGER.warning("Ignoring invalid options: %s", ", ".join(invalid))
        options = {key: value for key, value in entry.options.items() if key not in invalid}
        hass.config_entries.async_update_entry(entry, options=options)


class EnergySseOptionsFlow(OptionsFlowWithReload):
    """Options flow with a menu of short forms."""

    config_entry: EnergySseConfigEntry

    async def async_step_init(self, _user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Show the menu."""
        steps = ["updates", "supply", "energy_dashboard"]
        return self.async_show_menu(
            step_id="init",
            menu_options=[*steps, "sub_meters"] if self._sub_meters else steps,
            description_placeholders={"reader": escape_markdown(self.config_entry.title)},
        )

    async def async_step_updates(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask how often the sensors are updated."""
        if user_input is not None:
            return self._save({CONF_WRITE_INTERVAL: int(user_input[CONF_WRITE_INTERVAL])})
        chosen = str(self.config_entry.options.get(CONF_WRITE_INTERVAL, 0))
        field = dropdown(WRITE_INTERVALS, "write_interval")
        growth = self._get_database_growth()
        return self._show_form(
            "updates" if growth else "updates_unknown",
            {vol.Required(CONF_WRITE_INTERVAL, default=chosen): field},
            placeholders=growth,
        )

    async_step_updates_unknown = async_step_updates

    def _get_database_growth(self) -> dict[str, str]:
        """Return the interval of the readings, and the MB a day that each choice adds to the database.

        It is empty while they are unknown.
        """
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return {}
        coordinator = self.config_entry.runtime_data.coordinator
        interval = coordinator.readings.freshness.interval
        if interval is None or not coordinator.availability.has_fresh_readings:
            return {}
        # Readings of a burst, for example after a reconnect, are closer to each other.
        interval = max(interval, _MIN_INTERVAL)
        # The recorder stores changed states only. Some sensors change with every reading, others rarely.
        written = max(self.config_entry.options.get(CONF_WRITE_INTERVAL, 0), interval)
        since = dt_util.utcnow() - timedelta(seconds=2 * written)
        entity_ids = (
            coordinator.devices.entity_id(Platform.SENSOR, each) for each in coordinator.data.measurements
        )
        states = [self.hass.states.get(entity_id) for entity_id in entity_ids if entity_id]
        changed = sum(state is not None and state.last_updated > since for state in states)
        if not changed:
            return {}
        growth = {"interval": str(round(interval))}
        for each in WRITE_INTERVALS:
            megabytes = changed * _BYTES_PER_STATE * _DAY / max(int(each), interval) / 1e6
            growth[f"mb_{each}"] = str(max(1, round(megabytes)))
        return growth

    async def async_step_supply(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the main fuse and the phases."""
        chosen: Mapping[str, Any] = self.config_entry.options
        errors: dict[str, str] = {}
        if user_input is not None:
            errors = get_fraction_errors(user_input, CONF_MAIN_FUSE)
            chosen = {key: whole(value) for key, value in user_input.items()}
            if not errors:
                return self._save({CONF_MAIN_FUSE: None, **chosen})
        # The main fuse has no default, so that the user can clear it.
        fuse = vol.Optional(CONF_MAIN_FUSE, description={"suggested_value": chosen.get(CONF_MAIN_FUSE)})
        phases = vol.Required(CONF_PHASES, default=chosen.get(CONF_PHASES, "3"))
        fields = {fuse: number_box(_MIN_FUSE, _MAX_FUSE, "A"), phases: dropdown(PHASES, "phases")}
        return self._show_form("supply", fields, errors)

    async def async_step_energy_dashboard(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether hours in the Energy dashboard are corrected."""
        if user_input is not None:
            return self._save(user_input)
        chosen = self.config_entry.options.get(CONF_FILL_MISSED_HOURS, True)
        field = vol.Required(CONF_FILL_MISSED_HOURS, default=chosen)
        return self._show_form("energy_dashboard", {field: BooleanSelector()})

    async def async_step_sub_meters(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask what each sub-meter measures."""
        if user_input is not None:
            return self._save({CONF_SUB_METERS: {**self._sub_meters, **user_input}})
        # The label of a field is the number on the meter.
        kinds = dropdown(SubMeterKind, "sub_meter_kind")
        fields: dict[vol.Marker, Any] = {
            vol.Required(meter_id, default=kind): kinds for meter_id, kind in self._sub_meters.items()
        }
        return self._show_form("sub_meters", fields)

    def _show_form(
        self,
        step_id: str,
        fields: Mapping[vol.Marker, Any],
        errors: dict[str, str] | None = None,
        placeholders: Mapping[str, str] | None = None,
    ) -> ConfigFlowResult:
        return self.async_show_form(
            step_id=step_id,
            data_schema=vol.Schema(dict(fields)),
            errors=errors,
            description_placeholders={"reader": self.config_entry.title, **(placeholders or {})},
        )

    def _save(self, changes: Mapping[str, Any]) -> ConfigFlowResult:
        """Store changed options. None removes an option."""
        options = {**self.config_entry.options, **changes}
        return self.async_create_entry(
            data={key: value for key, value in options.items() if value is not None}
        )

    @property
    def _sub_meters(self) -> dict[str, str]:
        """Chosen kind of each sub-meter, or NONE."""
        chosen: dict[str, str] = self.config_entry.options.get(CONF_SUB_METERS, {})
        known = Devices(self.hass, self.config_entry).sub_meters()
        return {**dict.fromkeys(known, str(SubMeterKind.NONE)), **chosen}
