"""Steps of dialogs, and a check that every page has its texts and their placeholders."""

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
from string import Formatter
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import (
    SOURCE_DHCP,
    SOURCE_USER,
    SOURCE_ZEROCONF,
    ConfigFlowResult,
    ConfigSubentryFlow,
    OptionsFlow,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowHandler, FlowManager, FlowResult, FlowResultType
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.config_flow import EnergySseConfigFlow
from custom_components.energy_sse.const import DOMAIN, SUBENTRY_POWER_TARIFF
from custom_components.energy_sse.options_flow import EnergySseOptionsFlow
from custom_components.energy_sse.tariff_flow import PowerTariffFlow

TEXTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "custom_components/energy_sse/translations/en.json").read_text()
)


async def enter_host(hass: HomeAssistant, host: str) -> ConfigFlowResult:
    """Begin to add a reader by its address."""
    return await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={"host": host}
    )


async def discover(hass: HomeAssistant, info: ZeroconfServiceInfo | DhcpServiceInfo) -> ConfigFlowResult:
    """Begin to add a device that was discovered."""
    source = SOURCE_DHCP if isinstance(info, DhcpServiceInfo) else SOURCE_ZEROCONF
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": source}, data=info)


async def submit(hass: HomeAssistant, flow: ConfigFlowResult, **fields: str) -> ConfigFlowResult:
    """Submit a form."""
    return await hass.config_entries.flow.async_configure(flow["flow_id"], fields)


async def open_options(hass: HomeAssistant, entry: MockConfigEntry, step: str) -> ConfigFlowResult:
    """Select an item in the menu of the options. Return its form."""
    options = hass.config_entries.options
    menu = await options.async_init(entry.entry_id)
    assert menu["type"] is FlowResultType.MENU
    return await options.async_configure(menu["flow_id"], {"next_step_id": step})


async def change_options(
    hass: HomeAssistant, entry: MockConfigEntry, step: str, **fields: Any
) -> ConfigFlowResult:
    """Submit a form of the options."""
    form = await open_options(hass, entry, step)
    return await hass.config_entries.options.async_configure(form["flow_id"], fields)


def outcome(flow: ConfigFlowResult) -> str:
    """Return the type of a result, the step of a form or the reason of an abort, and errors."""
    errors = (flow.get("errors") or {}).values()
    return " ".join((flow["type"], flow.get("step_id") or flow.get("reason") or "", *errors)).strip()


def steps_in_progress(hass: HomeAssistant) -> list[str]:
    """Return the steps of all open dialogs."""
    return [flow["step_id"] for flow in hass.config_entries.flow.async_progress_by_handler(DOMAIN)]


def placeholders_of(texts: object) -> set[str]:
    """Return the placeholders in all texts that an object holds."""
    if isinstance(texts, dict):
        return {name for inner in texts.values() for name in placeholders_of(inner)}
    return {name for _, name, _, _ in Formatter().parse(str(texts)) if name is not None}


def check(flow: FlowHandler[Any, Any], result: FlowResult[Any, Any]) -> None:
    """Check one page of a dialog."""
    if isinstance(flow, ConfigSubentryFlow):
        texts = TEXTS["config_subentries"][SUBENTRY_POWER_TARIFF]
    else:
        texts = TEXTS["options" if isinstance(flow, OptionsFlow) else "config"]
    given = set(result.get("description_placeholders") or {})
    if result["type"] is FlowResultType.FORM:
        step = texts["step"][result["step_id"]]
        assert step["title"]
        shown = [step, *(texts["error"][error] for error in (result["errors"] or {}).values())]
    elif result["type"] is FlowResultType.MENU:
        step = texts["step"][result["step_id"]]
        assert isinstance(result["menu_options"], list)
        assert set(result["menu_options"]) <= set(step["menu_options"])
        shown = [step]
    elif result["type"] is FlowResultType.ABORT:
        shown = [texts["abort"][result["reason"]]]
    else:
        return
    missing = {name for each in shown for name in placeholders_of(each)} - given
    assert not missing, f"{result.get('step_id') or result.get('reason')}: no value for {missing}"


@contextmanager
def checked() -> Iterator[None]:
    """Check every page of the integration's dialogs in a block."""
    handle_step = FlowManager._async_handle_step  # noqa: SLF001

    async def handle_and_check(
        manager: FlowManager[Any, Any], flow: FlowHandler[Any, Any], *args: Any, **kwargs: Any
    ) -> Any:
        result = await handle_step(manager, flow, *args, **kwargs)
        if isinstance(flow, EnergySseConfigFlow | EnergySseOptionsFlow | PowerTariffFlow):
            check(flow, result)
        return result

    with patch.object(FlowManager, "_async_handle_step", handle_and_check):
        yield
