"""A reader that moves, has two addresses, or whose address somebody else has."""

from collections.abc import AsyncGenerator

from homeassistant.config_entries import SOURCE_ZEROCONF
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest

from custom_components.energy_sse.const import DOMAIN

from .conftest import Start
from .home_assistant import announcement, set_up, state_of
from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .readers.digest import DigestLogin
from .readers.network import FaultyNetwork
from .time_machine import TimeMachine

POWER = "ECC9FF5C7F14_active_power_net"


async def announce(hass: HomeAssistant, reader: WhatwattSimulator, port: int) -> None:
    """Let Home Assistant hear of the reader at another port, which stands for another address."""
    info = announcement(reader)
    info.port = port
    await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_ZEROCONF}, data=info)


@pytest.fixture
async def network(house: House) -> AsyncGenerator[FaultyNetwork]:
    """Return a way that can be shut to a whatwatt that speaks by itself."""
    network = await FaultyNetwork(await WhatwattSimulator(house).start(live=True)).start()
    yield network
    await network.stop()
    await network.reader.stop()


@pytest.fixture
def whatwatt(network: FaultyNetwork) -> WhatwattSimulator:
    """Return the reader itself, which has another address."""
    assert isinstance(network.reader, WhatwattSimulator)
    return network.reader


@pytest.fixture
async def other(house: House, start: Start) -> WhatwattSimulator:
    """Return somebody else's reader, whose meter is silent."""
    reader = WhatwattSimulator(house, device_id="ECC9FF8A2B30")
    await start(reader)
    return reader


async def test_reader_that_moved_is_followed_without_a_reload(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    coordinator = entry.runtime_data
    await network.stop()
    await time_machine.let_pass(30)
    await announce(hass, whatwatt, whatwatt.port)
    await time_machine.let_pass(60)
    assert entry.runtime_data is coordinator
    assert entry.data[CONF_HOST] == whatwatt.host
    assert coordinator.is_streaming
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, "ECC9FF5C7F14"), entry.entry_id)
    assert device is not None
    assert device.configuration_url == f"http://{whatwatt.host}"


async def test_address_that_was_announced_while_all_was_well_is_tried_when_it_no_longer_is(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    await announce(hass, whatwatt, whatwatt.port)
    await time_machine.let_pass(60)
    assert entry.data[CONF_HOST] == network.host
    await network.stop()
    await time_machine.let_pass(120)
    assert entry.data[CONF_HOST] == whatwatt.host
    assert entry.runtime_data.is_streaming


async def test_address_where_somebody_else_answers_is_forgotten(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    await network.stop()
    await announce(hass, whatwatt, other.port)
    await time_machine.let_pass(600)
    assert entry.data[CONF_HOST] == network.host
    assert other.stream_count == 0
    assert other.requests == ["GET /api/v1/system"]
    await network.start(network.port)
    await time_machine.let_pass(400)
    assert entry.runtime_data.is_streaming


async def test_address_that_refuses_the_login_proves_nothing(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    other.login = DigestLogin("of somebody else")
    await network.stop()
    await announce(hass, whatwatt, other.port)
    await time_machine.let_pass(120)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []
    await network.start(network.port)
    await time_machine.let_pass(400)
    assert entry.runtime_data.is_streaming
    assert entry.data[CONF_HOST] == network.host


async def test_two_addresses_in_turn_change_nothing_while_one_of_them_works(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    for _ in range(10):
        await announce(hass, whatwatt, whatwatt.port)
        await announce(hass, whatwatt, network.port)
    assert entry.data[CONF_HOST] == network.host
    assert whatwatt.stream_count == 1


async def test_announcement_ends_a_wait(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    entry = await set_up(hass, currentlyone)
    port = currentlyone.port
    await currentlyone.stop()
    await time_machine.let_pass(1000)
    await currentlyone.start(port)
    assert not entry.runtime_data.is_streaming
    await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_ZEROCONF}, data=announcement(currentlyone)
    )
    await time_machine.let_pass(1)
    assert entry.runtime_data.is_streaming
    assert state_of(hass, "binary_sensor", f"{currentlyone.device_id}_connection").state == "on"
