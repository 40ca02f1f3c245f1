"""Options of a reader."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from homeassistant.config_entries import (
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
    OptionsFlowWithReload,
)
from homeassistant.const import CONF_ENABLED
from homeassistant.core import HomeAssistant, callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import BooleanSelector, SelectSelector, SelectSelectorConfig
import voluptuous as vol

from .const import (
    CONF_FILL_MISSED_HOURS,
    CONF_POWER_TARIFF,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    LOGGER,
    SubMeterKind,
)
from .devices import Devices
from .power_tariff import settings as power_tariff
from .reader import is_number

# Seconds, as texts of a selector. In each interval, a sensor that changes writes a row into the database.
WRITE_INTERVALS: Final = ["0", "5", "10", "30", "60"]

# Seconds. Longer intervals cannot be chosen.
_MAX_WRITE_INTERVAL: Final = 3600

_VALIDATORS: Final[Mapping[str, Callable[[Any], bool]]] = {
    CONF_WRITE_INTERVAL: lambda value: is_number(value) and 0 <= value <= _MAX_WRITE_INTERVAL,
    CONF_FILL_MISSED_HOURS: lambda value: isinstance(value, bool),
    CONF_SUB_METERS: lambda value: isinstance(value, Mapping),
    CONF_POWER_TARIFF: lambda value: isinstance(value, Mapping),
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
    """Options flow with one form."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Show the form, and store valid options."""
        chosen: Mapping[str, Any] = self.config_entry.options
        errors: dict[str, str] = {}
        if user_input is not None:
            chosen = {
                **({CONF_POWER_TARIFF: chosen[CONF_POWER_TARIFF]} if CONF_POWER_TARIFF in chosen else {}),
                **user_input,
                CONF_WRITE_INTERVAL: int(user_input[CONF_WRITE_INTERVAL]),
                CONF_SUB_METERS: {**self._sub_meters, **user_input.get(CONF_SUB_METERS, {})},
            }
            error = power_tariff.get_error(chosen.get(CONF_POWER_TARIFF, {})) or self._register_error(chosen)
            if error is None:
                return self.async_create_entry(data=chosen)
            # Shown above the section of the power tariff.
            errors[CONF_POWER_TARIFF] = error
        return self.async_show_form(step_id="init", data_schema=self._schema(chosen), errors=errors)

    def _schema(self, chosen: Mapping[str, Any]) -> vol.Schema:
        """Return the form with the chosen options."""
        fields: dict[vol.Marker, Any] = {
            vol.Required(CONF_WRITE_INTERVAL, default=str(chosen.get(CONF_WRITE_INTERVAL, 0))): (
                SelectSelector(
                    SelectSelectorConfig(options=WRITE_INTERVALS, translation_key="write_interval")
                )
            )
        }
        fills = chosen.get(CONF_FILL_MISSED_HOURS, True)
        fields[vol.Required(CONF_FILL_MISSED_HOURS, default=fills)] = BooleanSelector()
        fields[vol.Optional(CONF_POWER_TARIFF)] = power_tariff.form_section(chosen.get(CONF_POWER_TARIFF, {}))
        if self._sub_meters:
            kinds = SelectSelector(
                SelectSelectorConfig(options=list(SubMeterKind), translation_key="sub_meter_kind")
            )
            # The label of a field is the number on the meter.
            kinds_by_meter = {
                vol.Required(meter_id, default=kind): kinds
                for meter_id, kind in {**self._sub_meters, **chosen.get(CONF_SUB_METERS, {})}.items()
            }
            fields[vol.Required(CONF_SUB_METERS)] = section(vol.Schema(kinds_by_meter))
        return vol.Schema(fields)

    def _register_error(self, chosen: Mapping[str, Any]) -> str | None:
        """Return an error key if the meter's register is not sufficient for a power tariff, or None."""
        is_on = chosen.get(CONF_POWER_TARIFF, {}).get(CONF_ENABLED)
        if not is_on or self.config_entry.state is not ConfigEntryState.LOADED:
            return None
        history = self.config_entry.runtime_data.coordinator.histories.billed
        return None if history.can_be_billed else "no_register"

    @property
    def _sub_meters(self) -> dict[str, str]:
        """Chosen kind of each sub-meter, or NONE."""
        chosen: dict[str, str] = self.config_entry.options.get(CONF_SUB_METERS, {})
        known = Devices(self.hass, self.config_entry).sub_meters()
        return {**dict.fromkeys(known, str(SubMeterKind.NONE)), **chosen}
