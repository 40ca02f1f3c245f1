"""A Home Assistant in this process, with registries and real sockets, but without a frontend."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from homeassistant import bootstrap, loader
from homeassistant.components.recorder import CONF_COMMIT_INTERVAL, DOMAIN as RECORDER
from homeassistant.config_entries import SOURCE_USER, ConfigEntries, ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import async_initialize_recorder
from homeassistant.runner import create_event_loop
from homeassistant.setup import async_setup_component

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.coordinator import EnergySseConfigEntry
from tests.wait import wait_until


def run[T](main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop as Home Assistant makes it."""
    # Its warnings about a custom integration and about a missing frontend are known.
    logging.disable(logging.WARNING)
    with asyncio.Runner(loop_factory=create_event_loop) as runner:
        return runner.run(main)


@asynccontextmanager
async def home_assistant(
    folder: Path | None = None, *, recorder: bool = False
) -> AsyncGenerator[HomeAssistant]:
    """Start Home Assistant on a folder, or on an empty one, and stop it afterward."""
    with TemporaryDirectory() as empty:
        hass = HomeAssistant(str(folder or empty))
        loader.async_setup(hass)
        hass.config.skip_pip = True
        hass.config_entries = ConfigEntries(hass, {})
        await loader.async_get_custom_components(hass)
        await bootstrap.async_load_base_functionality(hass)
        for domain in ("homeassistant", "network"):
            await async_setup_component(hass, domain, {})
        if recorder:
            async_initialize_recorder(hass)
            # Its default.
            await async_setup_component(hass, RECORDER, {RECORDER: {CONF_COMMIT_INTERVAL: 5}})
        await hass.async_start()
        await hass.async_block_till_done()
        try:
            yield hass
        finally:
            await hass.async_stop(force=True)


async def add_reader(hass: HomeAssistant, host: str) -> EnergySseConfigEntry:
    """Add a reader as a person would, by its address."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={CONF_HOST: host}
    )
    entry: ConfigEntry = result["result"]
    await wait_until(lambda: entry.state is ConfigEntryState.LOADED)
    return entry


def enable_everything(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Enable the entities that are disabled by default, of which Home Assistant takes notice in 30 s."""
    registry = er.async_get(hass)
    for each in er.async_entries_for_config_entry(registry, entry.entry_id):
        if each.disabled_by is not None:
            registry.async_update_entity(each.entity_id, disabled_by=None)
