"""Setup of Home Assistant by its API, as in a browser."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from .console import note, step
from .home_assistant import HomeAssistantApi, HomeAssistantFailedError

# Seconds. Home Assistant receives an announcement within one or two.
DISCOVERY_TIMEOUT = 20

# Seconds.
ENTITIES_TIMEOUT = 30

# The readers are sold in two countries. The demo is in one of them.
HOME = {"country": "CH", "currency": "CHF", "time_zone": "Europe/Zurich", "unit_system": "metric"}

# Integrations that onboarding adds, and that need the internet.
UNWANTED_DOMAINS = frozenset({"met", "radio_browser", "google_translate", "shopping_list"})


async def log_in(api: HomeAssistantApi, username: str, password: str) -> None:
    """Log in as the owner, and create the owner if there is none."""
    if await api.onboard("Demo", username, password):
        step("Onboarded")
        await api.command("config/core/update", **HOME)
    else:
        await api.log_in(username, password)


async def remove_unwanted_entries(api: HomeAssistantApi) -> None:
    """Remove the integrations that onboarding has added."""
    for entry in await api.command("config_entries/get"):
        if entry["domain"] in UNWANTED_DOMAINS:
            await api.delete(f"/api/config/config_entries/entry/{entry['entry_id']}")


async def add_reader(
    api: HomeAssistantApi, device_id: str, host: str, password: str, *, is_announced: bool
) -> None:
    """Add a discovered reader, or one by its address."""
    step(f"Adding the reader {device_id}")
    flow = await discovered_flow(api, device_id) if is_announced else None
    if flow is None:
        note("It was not discovered, so it is added by its address.")
        flow = await api.post("/api/config/config_entries/flow", {"handler": "energy_sse"})
        flow = await submit(api, flow, host=host)
    else:
        note("Home Assistant has discovered it.")
    if flow["type"] == "form" and flow["step_id"] == "password":
        flow = await submit(api, flow, password=password)
    elif flow["type"] == "form":
        flow = await submit(api, flow)
    if flow["type"] == "abort" and flow["reason"] == "already_configured":
        return
    if flow["type"] != "create_entry":
        raise HomeAssistantFailedError(f"The reader {device_id} could not be added ({flow['type']}).")


async def submit(api: HomeAssistantApi, flow: dict[str, Any], **fields: str) -> dict[str, Any]:
    """Submit a dialog."""
    result: dict[str, Any] = await api.post(f"/api/config/config_entries/flow/{flow['flow_id']}", fields)
    if result.get("errors"):
        raise HomeAssistantFailedError(
            f"A reader could not be added ({', '.join(result['errors'].values())})."
        )
    return result


async def discovered_flow(api: HomeAssistantApi, device_id: str) -> dict[str, Any] | None:
    """Return the dialog of a discovered reader, or None after a timeout."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCOVERY_TIMEOUT):
            while True:
                for progress in await api.command("config_entries/flow/progress"):
                    if progress["context"].get("unique_id") == device_id:
                        flow: dict[str, Any] = await api.get(
                            f"/api/config/config_entries/flow/{progress['flow_id']}"
                        )
                        return flow
                await asyncio.sleep(0.2)
    return None


async def entities_of(api: HomeAssistantApi) -> dict[str, str]:
    """Return the enabled entities of the integration by unique id."""
    return {
        entity["unique_id"]: entity["entity_id"]
        for entity in await api.command("config/entity_registry/list")
        if entity["platform"] == "energy_sse" and entity["disabled_by"] is None
    }


async def wait_for_entities(api: HomeAssistantApi, unique_ids: Iterable[str]) -> None:
    """Wait until all of these entities exist."""
    async with asyncio.timeout(ENTITIES_TIMEOUT):
        while not (await entities_of(api)).keys() >= {*unique_ids}:
            await asyncio.sleep(0.5)


async def wait_until_loaded(api: HomeAssistantApi, entry_id: str) -> None:
    """Wait until an entry is set up, because a reload in the middle of it is logged as a problem."""
    async with asyncio.timeout(ENTITIES_TIMEOUT):
        while True:
            entries = await api.command("config_entries/get", domain="energy_sse")
            if any(each["entry_id"] == entry_id and each["state"] == "loaded" for each in entries):
                return
            await asyncio.sleep(0.2)


async def set_options(api: HomeAssistantApi, entry_id: str, form: str, fields: dict[str, Any]) -> None:
    """Submit a form of the options of an entry."""
    path = "/api/config/config_entries/options/flow"
    flow = await api.post(path, {"handler": entry_id})
    await api.post(f"{path}/{flow['flow_id']}", {"next_step_id": form})
    result = await api.post(f"{path}/{flow['flow_id']}", fields)
    if result["type"] != "create_entry":
        raise HomeAssistantFailedError(f"The options could not be set ({result.get('errors')}).")
    await wait_until_loaded(api, entry_id)


async def set_up_areas(api: HomeAssistantApi, areas: Mapping[str, tuple[str, Iterable[str]]]) -> None:
    """Move devices into areas. Remove all other areas.

    `areas` maps a name to an icon and to the identifiers of devices.
    """
    for area in await api.command("config/area_registry/list"):
        await api.command("config/area_registry/delete", area_id=area["area_id"])
    devices = {
        identifier[1]: device["id"]
        for device in await api.command("config/device_registry/list")
        for identifier in device["identifiers"]
        if identifier[0] == "energy_sse"
    }
    for name, (icon, ids) in areas.items():
        area = await api.command("config/area_registry/create", name=name, icon=icon)
        for id_ in ids:
            await api.command(
                "config/device_registry/update", device_id=devices[id_], area_id=area["area_id"]
            )


def grid_source(energy_from: str, energy_to: str, power: str | None = None) -> dict[str, Any]:
    """Return a grid connection as the settings of the Energy dashboard save it."""
    source = {
        "type": "grid",
        "stat_energy_from": energy_from,
        "stat_energy_to": energy_to,
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
        "stat_compensation": None,
        "entity_energy_price_export": None,
        "number_energy_price_export": None,
        "cost_adjustment_day": 0,
    }
    return source if power is None else {**source, "power_config": {"stat_rate": power}}


def gas_source(energy_from: str) -> dict[str, Any]:
    """Return a gas meter as the settings of the Energy dashboard save it."""
    return {
        "type": "gas",
        "stat_energy_from": energy_from,
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
    }
