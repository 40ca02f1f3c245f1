"""The options of a reader: how often to write, what to fill and to count, and what sub-meters measure."""

from collections.abc import Mapping
from typing import Any, Final

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult, OptionsFlowWithReload
from homeassistant.const import CONF_ENABLED
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import BooleanSelector, SelectSelector, SelectSelectorConfig
import voluptuous as vol

from .const import (
    CONF_FILL_MISSED_HOURS,
    CONF_POWER_TARIFF,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    SubMeterKind,
)
from .power_tariff import settings as power_tariff
from .registry import Registry

# Seconds, as the texts of a selector. Each is a row in the database per sensor that changes.
WRITE_INTERVALS: Final = ["0", "5", "10", "30", "60"]


class EnergySseOptionsFlow(OptionsFlowWithReload):
    """Asks how often to write, whether to fill, for the power tariff, and what the sub-meters measure."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for all options at once."""
        chosen: Mapping[str, Any] = self.config_entry.options
        errors: dict[str, str] = {}
        if user_input is not None:
            chosen = {
                **({CONF_POWER_TARIFF: chosen[CONF_POWER_TARIFF]} if CONF_POWER_TARIFF in chosen else {}),
                **user_input,
                CONF_WRITE_INTERVAL: int(user_input[CONF_WRITE_INTERVAL]),
                CONF_SUB_METERS: {**self._sub_meters, **user_input.get(CONF_SUB_METERS, {})},
            }
            error = power_tariff.error_in(chosen.get(CONF_POWER_TARIFF, {})) or self._register_error(chosen)
            if error is None:
                return self.async_create_entry(data=chosen)
            # It is shown above the section, closer than the top of the dialog.
            errors[CONF_POWER_TARIFF] = error
        return self.async_show_form(step_id="init", data_schema=self._schema(chosen), errors=errors)

    def _schema(self, chosen: Mapping[str, Any]) -> vol.Schema:
        """Return the form with what is chosen."""
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
            # A field is called by the number that stands on the meter.
            kinds_by_meter = {
                vol.Required(meter_id, default=kind): kinds
                for meter_id, kind in {**self._sub_meters, **chosen.get(CONF_SUB_METERS, {})}.items()
            }
            fields[vol.Required(CONF_SUB_METERS)] = section(vol.Schema(kinds_by_meter))
        return vol.Schema(fields)

    def _register_error(self, chosen: Mapping[str, Any]) -> str | None:
        """Return the key of the error of a meter that cannot be billed by the interval, or None."""
        is_on = chosen.get(CONF_POWER_TARIFF, {}).get(CONF_ENABLED)
        if not is_on or self.config_entry.state is not ConfigEntryState.LOADED:
            return None
        history = self.config_entry.runtime_data.histories.billed
        return None if history.can_be_billed else "no_register"

    @property
    def _sub_meters(self) -> dict[str, str]:
        """What is chosen for the sub-meters that have ever been heard of."""
        chosen: dict[str, str] = self.config_entry.options.get(CONF_SUB_METERS, {})
        known = Registry(self.hass, self.config_entry).sub_meters()
        return {**dict.fromkeys(known, str(SubMeterKind.NONE)), **chosen}
