"""Addresses of a reader: moves, several addresses, other devices at an address."""

from collections.abc import AsyncGenerator, Iterable
from ipaddress import ip_address

from homeassistant.config_entries import (
    SOURCE_ZEROCONF,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir
import pytest
import pytest_socket

from custom_components.energy_sse.const import DOMAIN

from .conftest import Start
from .dialogs import discover, enter_host, outcome, submit
from .home_assistant import announcement, entry_for, set_up, state_of
from .simulators import CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .simulators.digest import DigestAuth
from .simulators.network import FaultyNetwork, close_connection
from .time_machine import TimeMachine

# The reader responds at 127.0.0.1. 127.0.0.2 is an earlier address.
DEAD_ADDRESSES = ["169.254.142.92", "0.0.0.0", "224.0.0.251", "fe80::1", "::", "127.0.0.2"]  # noqa: S104 (announced)


async def announce(
    hass: HomeAssistant,
    reader: Simulator,
    port: int | None = None,
    *,
    addresses: Iterable[str] = ("127.0.0.1",),
    name: str | None = None,
) -> ConfigFlowResult:
    """Announce the reader to Home Assistant. Another port represents another address."""
    info = announcement(reader)
    info.port = port or info.port
    info.ip_addresses = [ip_address(each) for each in addresses]
    info.ip_address = info.ip_addresses[0]
    if name is not None:
        info.name = f"{name}.{info.type}"
    return await discover(hass, info)


@pytest.fixture(autouse=True)
def _second_loopback_address() -> None:
    """Allow connections to an address of this machine where no reader listens."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "127.0.0.2"])


@pytest.fixture
async def network(house: House) -> AsyncGenerator[FaultyNetwork]:
    """Return a network in front of a whatwatt that sends readings."""
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
    """Return another reader, whose meter sends nothing."""
    return await start(WhatwattSimulator(house, device_id="ECC9FF8A2B30"))


async def test_moved_reader_is_followed_without_a_reload(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    coordinator = entry.runtime_data.coordinator
    await network.stop()
    await time_machine.advance(30)
    await announce(hass, whatwatt, whatwatt.port)
    await time_machine.advance(60)
    assert entry.runtime_data.coordinator is coordinator
    assert entry.data[CONF_HOST] == whatwatt.host
    assert coordinator.data.is_streaming
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, "ECC9FF5C7F14"), entry.entry_id)
    assert device is not None
    assert device.configuration_url == f"http://{whatwatt.host}"


async def test_announced_address_is_used_after_the_stream_is_lost(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    await announce(hass, whatwatt, whatwatt.port)
    await time_machine.advance(60)
    assert entry.data[CONF_HOST] == network.host
    await network.stop()
    await time_machine.advance(120)
    assert entry.data[CONF_HOST] == whatwatt.host
    assert entry.runtime_data.coordinator.data.is_streaming


async def test_announced_address_of_another_reader_is_removed(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    await network.stop()
    await announce(hass, whatwatt, other.port)
    await time_machine.advance(600)
    assert entry.data[CONF_HOST] == network.host
    assert other.stream_count == 0
    assert other.requests == ["GET /api/v1/system"]
    await network.start(network.port)
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.data.is_streaming


async def test_announced_address_can_reject_the_password(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    entry = await set_up(hass, whatwatt, host=network.host)
    other.auth = DigestAuth("another")
    await network.stop()
    await announce(hass, whatwatt, other.port)
    await time_machine.advance(120)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []
    await network.start(network.port)
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.data.is_streaming
    assert entry.data[CONF_HOST] == network.host


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
    await time_machine.advance(1000)
    await currentlyone.start(port)
    assert not entry.runtime_data.coordinator.data.is_streaming
    await announce(hass, currentlyone)
    await time_machine.advance(1)
    assert entry.runtime_data.coordinator.data.is_streaming
    assert state_of(hass, "binary_sensor", f"{currentlyone.device_id}_connection").state == "on"


# ------------------------------------------------------------------------- addresses without a reader


@pytest.mark.parametrize("is_protected", [False, True])
async def test_new_reader_is_found_after_addresses_without_a_reader(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, *, is_protected: bool
) -> None:
    if not is_protected:
        protected_whatwatt.auth = None
    flow = await announce(hass, protected_whatwatt, addresses=[*DEAD_ADDRESSES, "127.0.0.1"])
    assert outcome(flow) == ("form password" if is_protected else "form discovery_confirm")
    flow = await submit(hass, flow, **({"password": "secret"} if is_protected else {}))
    assert flow["data"][CONF_HOST] == protected_whatwatt.host


async def test_announcement_without_a_usable_address_is_ignored(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    flow = await announce(hass, whatwatt, addresses=["169.254.142.92", "224.0.0.251"])
    assert outcome(flow) == "abort cannot_connect"
    assert whatwatt.requests == []


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_moved_reader_is_found_after_addresses_of_no_reader(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    time_machine: TimeMachine,
    *,
    is_loaded: bool,
) -> None:
    entry = entry_for(whatwatt, host=network.host)
    entry.add_to_hass(hass)
    if not is_loaded:
        await network.stop()
    await hass.config_entries.async_setup(entry.entry_id)
    if is_loaded:
        await network.stop()
    await time_machine.advance(30)
    await announce(hass, whatwatt, whatwatt.port, addresses=[*DEAD_ADDRESSES, "127.0.0.1"])
    await time_machine.advance(60)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.runtime_data.coordinator.data.is_streaming
    assert entry.data[CONF_HOST] == whatwatt.host


async def test_reader_returns_to_its_earlier_address(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    """A reader with two interfaces, of which each fails once."""
    second = await FaultyNetwork(whatwatt).start()
    entry = await set_up(hass, whatwatt, source=SOURCE_ZEROCONF, host=network.host)
    await announce(hass, whatwatt, second.port)
    await network.stop()
    await time_machine.advance(60)
    assert entry.data[CONF_HOST] == second.host
    await network.start(network.port)
    await second.stop()
    await time_machine.advance(60)
    assert entry.data[CONF_HOST] == network.host
    assert entry.runtime_data.coordinator.data.is_streaming


# ------------------------------------------------------------------------ names after an mDNS conflict


@pytest.mark.parametrize(
    "name",
    [
        *(f"CurrentlyOne_b8b41879cf58{suffix}" for suffix in ("-2", " (2)", " #2", " (13)", "-b8b4")),
        *("CurrentlyOne_kitchen", "CurrentlyOne_b8b41879cf5800", "Meter"),
    ],
)
async def test_currentlyone_is_found_by_any_name(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, name: str
) -> None:
    assert outcome(await announce(hass, currentlyone, name=name)) == "form discovery_confirm"


@pytest.mark.parametrize("name", ["CurrentlyOne_{}-2", "Meter"])
async def test_moved_currentlyone_is_found_by_any_name(
    hass: HomeAssistant, house: House, start: Start, time_machine: TimeMachine, name: str
) -> None:
    currentlyone = await start(CurrentlyOneSimulator(house), live=True)
    network = await FaultyNetwork(currentlyone).start()
    entry = await set_up(hass, currentlyone, host=network.host)
    await network.stop()
    await time_machine.advance(30)
    await announce(hass, currentlyone, name=name.format(currentlyone.device_id))
    await time_machine.advance(60)
    assert entry.data[CONF_HOST] == currentlyone.host
    assert entry.runtime_data.coordinator.data.is_streaming


# ------------------------------------------------------------------------------- an entered address


@pytest.fixture
async def moved(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> ConfigEntry:
    """Return a reader that was added by the address of a proxy, and that moved when the proxy was off."""
    flow = await enter_host(hass, network.host)
    entry = flow["result"]
    await hass.async_block_till_done()
    await announce(hass, whatwatt)
    await network.stop()
    await time_machine.advance(120)
    assert entry.data[CONF_HOST] == whatwatt.host
    assert entry.runtime_data.coordinator.data.is_streaming
    return entry


async def test_entered_address_is_used_again_when_it_responds(
    hass: HomeAssistant, moved: ConfigEntry, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    await time_machine.advance(900)
    assert moved.runtime_data.coordinator.data.is_streaming
    await network.start(network.port)
    await time_machine.advance(310)
    assert moved.data[CONF_HOST] == network.host
    assert moved.runtime_data.coordinator.data.is_streaming


@pytest.mark.parametrize("is_lost", [False, True])
async def test_entered_address_is_used_again_after_a_restart(
    hass: HomeAssistant,
    moved: ConfigEntry,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    time_machine: TimeMachine,
    *,
    is_lost: bool,
) -> None:
    """Restart while the other address responds, or does not respond any more."""
    await hass.config_entries.async_unload(moved.entry_id)
    if is_lost:
        await whatwatt.stop()
        await whatwatt.start(live=True)
    await network.start(network.port)
    await hass.config_entries.async_setup(moved.entry_id)
    assert moved.state is ConfigEntryState.LOADED
    if not is_lost:
        await time_machine.advance(310)
    assert moved.data[CONF_HOST] == network.host


async def test_entered_address_of_another_device_is_not_used(
    hass: HomeAssistant,
    moved: ConfigEntry,
    network: FaultyNetwork,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    reader, network.reader = network.reader, other
    await network.start(network.port)
    stats = moved.runtime_data.coordinator.reader.stats
    connects = stats.connects
    await time_machine.advance(900)
    assert moved.runtime_data.coordinator.data.is_streaming
    assert (stats.connects, other.stream_count) == (connects, 0)
    await network.stop()
    network.reader = reader


async def test_stream_continues_when_entered_address_has_no_stream(
    hass: HomeAssistant,
    moved: ConfigEntry,
    whatwatt: WhatwattSimulator,
    network: FaultyNetwork,
    time_machine: TimeMachine,
) -> None:
    network.only_the_stream = True
    network.respond = close_connection
    await network.start(network.port)
    await time_machine.advance(330)
    assert moved.runtime_data.coordinator.data.is_streaming
    assert moved.data[CONF_HOST] == whatwatt.host
    assert moved.runtime_data.coordinator.availability.has_fresh_readings


async def test_address_entered_in_reconfigure_is_preferred(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt, source=SOURCE_ZEROCONF)
    flow = await entry.start_reconfigure_flow(hass)
    await submit(hass, flow, host=network.host)
    await hass.async_block_till_done()
    await announce(hass, whatwatt)
    await network.stop()
    await time_machine.advance(120)
    assert entry.data[CONF_HOST] == whatwatt.host
    await network.start(network.port)
    await time_machine.advance(310)
    assert entry.data[CONF_HOST] == network.host


async def test_discovered_address_is_not_used_again(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, network: FaultyNetwork, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt, source=SOURCE_ZEROCONF, host=network.host)
    await announce(hass, whatwatt)
    await network.stop()
    await time_machine.advance(120)
    await network.start(network.port)
    await time_machine.advance(900)
    assert entry.data[CONF_HOST] == whatwatt.host


async def test_other_reader_is_an_issue_when_all_addresses_fail(
    hass: HomeAssistant,
    moved: ConfigEntry,
    whatwatt: WhatwattSimulator,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    """The entered address does not respond."""
    port = whatwatt.port
    await whatwatt.stop()
    await other.stop()
    await other.start(port)
    await time_machine.advance(120)
    assert ir.async_get(hass).async_get_issue(DOMAIN, f"wrong_device_{moved.entry_id}")
