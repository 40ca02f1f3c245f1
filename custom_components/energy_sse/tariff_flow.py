"""Subentry flow of a power tariff."""

from collections.abc import Mapping
from typing import Any, Final

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers.selector import TextSelector
from homeassistant.helpers.translation import async_get_translations
import voluptuous as vol

from .const import DOMAIN, SUBENTRY_POWER_TARIFF
from .form_fields import dropdown, get_fraction_errors, whole
from .power_tariff.days_off import is_workday_calendar
from .power_tariff.presets import DEFAULT_PRESETS, PRESETS
from .power_tariff.settings import (
    CONF_BEGIN,
    CONF_DAYS,
    CONF_DAYS_OFF,
    CONF_END,
    CONF_INTERVAL,
    CONF_MONTHS,
    CONF_OTHER_WEIGHT,
    CONF_PEAKS,
    CONF_PRICE,
    DAY_BEGIN,
    DAY_END,
    DAYS_FIELD,
    DAYS_OFF_FIELD,
    DEFAULTS,
    LIMIT_FIELDS,
    MONTH_FIELD,
    NEW_DEFAULTS,
    OTHER_WEIGHT_FIELD,
    PEAK_FIELDS,
    first_and_last,
    get_tariff,
    months_between,
    price_field,
    times,
)

# Fields that are not stored. The rules of the contract and the list of months are stored instead.
CONF_CONTRACT: Final = "contract"
CONF_FIRST_MONTH: Final = "first_month"
CONF_LAST_MONTH: Final = "last_month"


async def async_default_name(hass: HomeAssistant) -> str:
    """Return the name of a power tariff without a name of its own."""
    texts = await async_get_translations(hass, hass.config.language, "config_subentries", [DOMAIN])
    return texts[f"component.{DOMAIN}.config_subentries.{SUBENTRY_POWER_TARIFF}.entry_type"]


class PowerTariffFlow(ConfigSubentryFlow):
    """Subentry flow of a power tariff: its contract, name, peaks, times, limit and price."""

    _name: str
    _rules: Mapping[str, Any]

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Ask for the kind of contract of a new power tariff."""
        if user_input is None:
            contract = DEFAULT_PRESETS.get(self.hass.config.country, "custom")
            fields = {CONF_CONTRACT: dropdown(PRESETS, CONF_CONTRACT)}
            return self._show_form("user", fields, {CONF_CONTRACT: contract}, {})
        self._name = await async_default_name(self.hass)
        self._rules = {**NEW_DEFAULTS, **PRESETS[user_input[CONF_CONTRACT]]}
        return await self.async_step_peaks()

    async def async_step_reconfigure(self, _user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Change a power tariff."""
        subentry = self._get_reconfigure_subentry()
        self._name, self._rules = subentry.title, subentry.data
        try:
            get_tariff(self._rules)
        except vol.Invalid:
            # From a damaged file.
            self._rules = NEW_DEFAULTS
        return await self.async_step_peaks()

    async def async_step_peaks(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Ask for the name, and for the demands that are billed."""
        errors: dict[str, str] = {}
        if user_input is not None:
            errors = self._register_error() | get_fraction_errors(user_input, CONF_PEAKS)
            self._name = user_input.pop(CONF_NAME).strip() or self._name
            self._rules = {**self._rules, **_whole(user_input)}
            if not errors:
                return await self.async_step_times()
        values = {**DEFAULTS, **self._rules, CONF_NAME: self._name}
        fields = {CONF_NAME: TextSelector(), **PEAK_FIELDS}
        return self._show_form("peaks", fields, values, errors)

    async def async_step_times(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Ask for the times that count."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if user_input[CONF_BEGIN] == user_input[CONF_END]:
                errors[CONF_END] = "no_hours"
            errors |= self._days_off_error(user_input.get(CONF_DAYS_OFF))
            months = months_between(user_input.pop(CONF_FIRST_MONTH), user_input.pop(CONF_LAST_MONTH))
            # A field that was cleared is not submitted.
            rules = {key: value for key, value in self._rules.items() if key != CONF_DAYS_OFF}
            self._rules = {**rules, **_whole(user_input), CONF_MONTHS: months}
            if not errors:
                return await self.async_step_limit()
        values = {**DEFAULTS, **self._rules}
        values[CONF_FIRST_MONTH], values[CONF_LAST_MONTH] = first_and_last(values[CONF_MONTHS])
        begins, ends = times(values[CONF_INTERVAL])[:-1], times(values[CONF_INTERVAL])[1:]
        # The previous interval can have been shorter.
        if values[CONF_BEGIN] not in begins:
            values[CONF_BEGIN] = DAY_BEGIN
        if values[CONF_END] not in ends:
            values[CONF_END] = DAY_END
        fields = {
            CONF_FIRST_MONTH: MONTH_FIELD,
            CONF_LAST_MONTH: MONTH_FIELD,
            CONF_DAYS: DAYS_FIELD,
            CONF_DAYS_OFF: DAYS_OFF_FIELD,
            CONF_BEGIN: dropdown(begins),
            CONF_END: dropdown(ends),
            CONF_OTHER_WEIGHT: OTHER_WEIGHT_FIELD,
        }
        return self._show_form("times", fields, values, errors)

    async def async_step_limit(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Ask for the lower bound of the demand limit and for the price, and store the power tariff."""
        if user_input is not None:
            self._rules = {**self._rules, **_whole(user_input)}
            return self._store()
        fields = {**LIMIT_FIELDS, CONF_PRICE: price_field(self.hass.config.currency)}
        return self._show_form("limit", fields, {**DEFAULTS, **self._rules}, {})

    def _show_form(
        self, step_id: str, fields: Mapping[str, Any], values: Mapping[str, Any], errors: dict[str, str]
    ) -> SubentryFlowResult:
        return self.async_show_form(
            step_id=step_id,
            data_schema=vol.Schema({_marker(key, values): field for key, field in fields.items()}),
            errors=errors,
            description_placeholders={"reader": self._get_entry().title},
            last_step=step_id == "limit",
        )

    def _store(self) -> SubentryFlowResult:
        if self.source != SOURCE_RECONFIGURE:
            return self.async_create_entry(title=self._name, data=self._rules)
        # The entry is reloaded because its subentries change.
        return self.async_update_and_abort(
            self._get_entry(), self._get_reconfigure_subentry(), title=self._name, data=self._rules
        )

    def _register_error(self) -> dict[str, str]:
        """Return an error if the entry is loaded, and its meter does not send a register hourly."""
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return {}
        history = entry.runtime_data.coordinator.histories.for_power_tariffs
        return {} if history.is_usable_for_power_tariffs else {CONF_INTERVAL: "no_register"}

    def _days_off_error(self, entity_id: str | None) -> dict[str, str]:
        """Return an error if a newly selected entity is missing, or is the calendar of *Workday*.

        The stored entity is always accepted, because its past days off are known even if it was removed.
        """
        is_kept = (
            self.source == SOURCE_RECONFIGURE
            and self._get_reconfigure_subentry().data.get(CONF_DAYS_OFF) == entity_id
        )
        if entity_id is None or is_kept:
            return {}
        if is_workday_calendar(self.hass, entity_id):
            return {CONF_DAYS_OFF: "workdays"}
        return {} if self.hass.states.get(entity_id) is not None else {CONF_DAYS_OFF: "no_entity"}


def _marker(key: str, values: Mapping[str, Any]) -> vol.Marker:
    if key == CONF_DAYS_OFF:
        # A suggested value can be cleared, a default cannot.
        return vol.Optional(key, description={"suggested_value": values.get(key)})
    return vol.Required(key, default=values.get(key, vol.UNDEFINED))


def _whole(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: whole(value) for key, value in values.items()}
