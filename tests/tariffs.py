"""Dialogs and entities of power tariffs."""

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import SOURCE_RECONFIGURE, SOURCE_USER, SubentryFlowResult
from homeassistant.core import HomeAssistant, State
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import SUBENTRY_POWER_TARIFF, PowerTariffKey


async def open_tariff(
    hass: HomeAssistant, entry: MockConfigEntry, subentry_id: str | None = None, contract: str = "custom"
) -> SubentryFlowResult:
    """Begin to add a power tariff with a contract, or to change one. Return the form with the peaks."""
    form = await hass.config_entries.subentries.async_init(
        (entry.entry_id, SUBENTRY_POWER_TARIFF),
        context={"source": SOURCE_USER}
        if subentry_id is None
        else {"source": SOURCE_RECONFIGURE, "subentry_id": subentry_id},
    )
    return form if form["step_id"] == "peaks" else await submit_form(hass, form, {"contract": contract})


async def submit_tariff(
    hass: HomeAssistant, form: SubentryFlowResult, fields: Mapping[str, Any]
) -> SubentryFlowResult:
    """Submit all forms. Return the form with an error, or the result."""
    while True:
        form = await submit_form(hass, form, fields)
        if form["type"] is not FlowResultType.FORM or form["errors"]:
            return form


async def submit_form(
    hass: HomeAssistant, form: SubentryFlowResult, fields: Mapping[str, Any]
) -> SubentryFlowResult:
    """Submit one form, with those of the fields that it has. Return the next form, or the result."""
    assert form["data_schema"] is not None
    known = {key: value for key, value in fields.items() if key in form["data_schema"].schema}
    return await hass.config_entries.subentries.async_configure(form["flow_id"], known)


async def add_tariff(hass: HomeAssistant, entry: MockConfigEntry, **fields: Any) -> SubentryFlowResult:
    """Add a power tariff. Fields that are left out keep their defaults."""
    return await submit_tariff(hass, await open_tariff(hass, entry), fields)


async def choose_tariff(hass: HomeAssistant, entry: MockConfigEntry, **fields: Any) -> str | None:
    """Add a power tariff, or change the only one. Return the key of the error, if there is one."""
    form = await open_tariff(hass, entry, next(iter(entry.subentries), None))
    result = await submit_tariff(hass, form, fields)
    return next(iter((result.get("errors") or {}).values()), None)


def tariff_state(
    hass: HomeAssistant, entry: MockConfigEntry, key: PowerTariffKey, subentry_id: str | None = None
) -> State:
    """Return the state of an entity of a power tariff, by default of the only one."""
    if subentry_id is None:
        (subentry_id,) = entry.subentries
    (entity_id,) = (
        each.entity_id
        for each in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        if each.config_subentry_id == subentry_id
        and each.unique_id.endswith(f"_{key}")
        and each.translation_key == key
    )
    state = hass.states.get(entity_id)
    assert state is not None
    return state
