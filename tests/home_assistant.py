"""Helpers for a Home Assistant with a reader."""

from collections.abc import Coroutine, Mapping
from ipaddress import IPv4Address
from typing import Any

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import CONF_KIND, DOMAIN
from custom_components.energy_sse.reader import READERS, Measurement, Message, Reading

from .simulators import Simulator
from .simulators.announce import service_info
from .simulators.server import Server
from .wait import wait_until


def announcement(reader: Server) -> ZeroconfServiceInfo:
    """Return the announcement of a reader by mDNS."""
    address = IPv4Address("127.0.0.1")
    info = service_info(reader, address)
    return ZeroconfServiceInfo(
        ip_address=address,
        ip_addresses=[address],
        port=info.port,
        hostname=info.server or "",
        type=info.type,
        name=info.name,
        properties=info.decoded_properties,
    )


def entry_for(
    reader: Server,
    *,
    entry_id: str | None = None,
    source: str = SOURCE_USER,
    options: Mapping[str, Any] | None = None,
    **data: Any,
) -> MockConfigEntry:
    """Return an entry of version 2, whose option of a power tariff is migrated at the setup."""
    if isinstance(reader, Simulator) and reader.password is not None:
        data = {CONF_PASSWORD: reader.password, **data}
    return MockConfigEntry(
        domain=DOMAIN,
        title="Meter",
        entry_id=entry_id,
        source=source,
        version=2,
        unique_id=reader.device_id,
        data={CONF_HOST: reader.host, CONF_KIND: reader.kind, **data},
        options=options,
    )


async def set_up(hass: HomeAssistant, reader: Server, **data: Any) -> MockConfigEntry:
    """Set up a reader, and wait until its stream is open."""
    entry = entry_for(reader, **data)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    await wait_until(lambda: reader.streams)
    return entry


async def reload(hass: HomeAssistant, entry: MockConfigEntry, reader: Server) -> None:
    """Reload the entry, and wait until the new stream is open."""
    count = reader.stream_count
    assert await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.stream_count > count and reader.streams)


async def tick(hass: HomeAssistant, reader: Simulator, seconds: float | None = None) -> None:
    """Send a reading, and wait until the entities have written it."""
    entry = hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, reader.device_id)
    assert entry is not None
    await receive(entry, reader, reader.tick(seconds))
    await hass.async_block_till_done()


async def settle(hass: HomeAssistant, entry: MockConfigEntry, reader: Simulator) -> None:
    """Send readings until one has another marker, and wait until all events have been processed."""
    before = reader.payload()[reader.marker_key]
    while reader.payload()[reader.marker_key] == before:
        await receive(entry, reader, reader.tick(1))
    await hass.async_block_till_done()


async def receive(entry: MockConfigEntry, reader: Simulator, sending: Coroutine[Any, Any, None]) -> None:
    """Send a reading, and wait until it has been processed.

    The marker alone does not show that, because two readings can have the same marker.
    """
    coordinator = entry.runtime_data.coordinator
    processed: list[Message] = []

    def process(message: Message) -> None:
        try:
            type(coordinator).handle_message(coordinator, message)
        finally:
            processed.append(message)

    coordinator.handle_message = process
    try:
        await sending
        marker = sent_value(reader, marker_of(reader))
        await wait_until(
            lambda: (
                any(isinstance(message, Reading) for message in processed)
                and coordinator.data.values.get(marker_of(reader)) == marker
            )
        )
    finally:
        del coordinator.handle_message


def marker_of(reader: Simulator) -> Measurement:
    """Return the measurement that differs from one reading to the next."""
    return READERS[reader.kind].fields[reader.marker_key][0]


def sent_value(reader: Simulator, measurement: Measurement) -> float:
    """Return a measurement of the house as the reader sends it now, in the unit of the reader."""
    fields = READERS[reader.kind].fields
    return float(reader.payload()[next(key for key, (each, _) in fields.items() if each is measurement)])


def entity_id(hass: HomeAssistant, platform: str, unique_id: str) -> str | None:
    """Return the entity id of a unique id."""
    return er.async_get(hass).async_get_entity_id(platform, DOMAIN, unique_id)


def state_of(hass: HomeAssistant, platform: str, unique_id: str) -> State:
    """Return the state of the entity of a unique id."""
    found = entity_id(hass, platform, unique_id)
    assert found is not None, f"no {platform} {unique_id}"
    state = hass.states.get(found)
    assert state is not None
    return state
