"""Limits of the appliances that a reader reports, and of its requests for the inventory."""

from collections.abc import Iterable
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.appliances import Appliance as KnownAppliance
from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import ApplianceProfile, ApplianceState, connection

from .home_assistant import reload, set_up, settle, state_of
from .simulators import CurrentlyOneSimulator
from .simulators.house import Appliance, State
from .time_machine import TimeMachine
from .wait import wait_until

READER = "b8b41879cf58"
INVENTORY = "GET /api/v1/device"


@pytest.fixture
def reader(currentlyone: CurrentlyOneSimulator) -> CurrentlyOneSimulator:
    return currentlyone


def sauna() -> Appliance:
    """Return an appliance that is not part of the house."""
    off, on = State("off", 0, is_on=False), State("on", 6000, is_on=True)
    return Appliance("sauna", "Sauna", "saunas", 0, (off, on), (10**9, 10**9))


async def report(reader: CurrentlyOneSimulator, ids: Iterable[str]) -> None:
    """Report appliances that do not exist."""
    second = int(reader.house.clock.timestamp())
    reports = [f'{{"id":"{each}","bs":"ON","sec":{second}}}' for each in ids]
    await reader.broadcast("".join(f"event: transition\r\ndata: {each}\r\n\r\n" for each in reports).encode())


def devices(hass: HomeAssistant, entry: MockConfigEntry) -> set[str]:
    """Return the ids of the devices below the reader."""
    found = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    ids = {identifier for device in found for _, identifier in device.identifiers}
    return {each.removeprefix(f"{READER}:") for each in ids if ":" in each}


async def run_for(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    reader: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    seconds: int,
) -> None:
    """Send a reading every ten seconds of simulated time."""
    for _ in range(seconds // 10):
        await time_machine.advance(10)
        await settle(hass, entry, reader)


@pytest.mark.parametrize(("times", "restarts"), [(1, False), (2, True)], ids=["once", "repeated"])
async def test_appliance_of_the_inventory_is_added_despite_many_others(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, times: int, *, restarts: bool
) -> None:
    entry = await set_up(hass, reader)
    for _ in range(times):
        await report(reader, (f"x{n}" for n in range(160)))
        await settle(hass, entry, reader)
    inventory = {appliance.id for appliance in reader.house.appliances}
    assert devices(hass, entry) > inventory
    assert len(devices(hass, entry) - inventory) == (50 if times == 1 else 150)
    reader.house.appliances.append(sauna())
    await reload(hass, entry, reader)
    if restarts:
        await reload(hass, entry, reader)
    await settle(hass, entry, reader)
    assert "sauna" in devices(hass, entry)
    await reader.switch("sauna", "on")
    await settle(hass, entry, reader)
    assert state_of(hass, "binary_sensor", f"{READER}:sauna:running").state == "on"


async def test_repeated_appliance_is_added_despite_many_others(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    await report(reader, (f"x{n}" for n in range(300)))
    await settle(hass, entry, reader)
    assert len(devices(hass, entry)) == 50
    # Each change is reported twice.
    await reader.switch("mocca_mast", "on")
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    assert state_of(hass, "binary_sensor", f"{READER}:mocca_mast:running").state == "off"
    assert devices(hass, entry) >= {"mocca_mast"}
    assert len(devices(hass, entry)) == 51


async def test_appliance_is_accepted_after_another_is_deleted(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    device_registry: dr.DeviceRegistry,
    reader: CurrentlyOneSimulator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    entry = await set_up(hass, reader)
    await report(reader, (f"x{n}" for n in range(50)))
    await settle(hass, entry, reader)
    await reload(hass, entry, reader)
    await report(reader, ["new"])
    await settle(hass, entry, reader)
    assert "new" not in devices(hass, entry)
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:x7"), entry.entry_id)
    assert device is not None
    assert (await client.remove_device(device.id))["success"]
    await report(reader, ["another"])
    await settle(hass, entry, reader)
    assert "x7" not in devices(hass, entry)
    assert "another" in devices(hass, entry)


@pytest.mark.parametrize(
    "garbage", [{"devices": [{"id": f"x{n}"} for n in range(1000)]}, {"devices": "none"}, {}], ids=len
)
async def test_invalid_inventory_is_ignored(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    monkeypatch: pytest.MonkeyPatch,
    garbage: dict[str, Any],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reader, "inventory", lambda: garbage)
        entry = await set_up(hass, reader)
        await wait_until(lambda: INVENTORY in reader.requests)
        await reader.switch("mocca_mast", "on")
        await settle(hass, entry, reader)
    assert devices(hass, entry) == {"mocca_mast"}
    await reload(hass, entry, reader)
    await settle(hass, entry, reader)
    assert devices(hass, entry) == {appliance.id for appliance in reader.house.appliances}


# ------------------------------------------------------------------------------------- the inventory


async def config(reader: CurrentlyOneSimulator) -> None:
    """Send `config` once more."""
    await reader.broadcast(f"event: config\r\ndata: {reader.config()}\r\n\r\n".encode())


async def test_inventory_is_requested_once_a_minute_for_many_configs(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, reader)
    reader.house.appliances.append(sauna())
    for _ in range(100):
        await config(reader)
    await settle(hass, entry, reader)
    await run_for(hass, entry, reader, time_machine, 50)
    assert reader.requests.count(INVENTORY) == 1
    assert "sauna" not in devices(hass, entry)
    # The second request is made a minute after the first one.
    await run_for(hass, entry, reader, time_machine, 120)
    assert reader.requests.count(INVENTORY) == 2
    assert "sauna" in devices(hass, entry)


async def test_inventory_is_requested_after_a_reconnect(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    reader.house.appliances.append(sauna())
    await config(reader)
    await settle(hass, entry, reader)
    # The connection is lost before the second request can be made.
    port = reader.port
    await reader.stop()
    await time_machine.advance(70)
    await reader.start(port)
    while not reader.streams:
        await time_machine.advance(10)
    await settle(hass, entry, reader)
    assert reader.requests.count(INVENTORY) == 2
    assert "sauna" in devices(hass, entry)


async def test_inventory_is_requested_once_a_minute_over_reconnects(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection.Backoff, "next_wait", lambda _: 0.1)
    await set_up(hass, reader)
    for _ in range(130):
        await time_machine.advance(1)
        reader.end_streams()
    await time_machine.advance(1)
    assert reader.stream_count >= 110
    assert 2 <= reader.requests.count(INVENTORY) <= 3


async def test_inventory_is_requested_for_a_new_appliance(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, reader)
    await run_for(hass, entry, reader, time_machine, 70)
    # Its first report is a detection, which only the inventory explains.
    reader.house.appliances.append(sauna())
    second = int(reader.house.clock.timestamp())
    data = f'{{"m":"ALL","sec":{second},"detected":[{{"id":"sauna","to":1,"Wh":5}}]}}'
    await reader.broadcast(f"event: state\r\ndata: {data}\r\n\r\n".encode())
    await settle(hass, entry, reader)
    assert reader.requests.count(INVENTORY) == 2
    running = state_of(hass, "binary_sensor", f"{READER}:sauna:running")
    assert (running.state, running.name) == ("on", "Sauna Running")


@pytest.mark.parametrize(
    ("ids", "has_inventory", "count"),
    [
        ([["ghost"]] * 10, True, 2),
        ([[f"{n} {each}" for each in range(20)] for n in range(10)], True, 6),
        ([[f"x{n}"] for n in range(5)], False, 1),
    ],
    ids=["one", "many", "no inventory"],
)
async def test_inventory_is_requested_rarely_for_unknown_appliances(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    *,
    ids: list[list[str]],
    has_inventory: bool,
    count: int,
) -> None:
    """Report unknown appliances every 30 seconds."""
    reader.has_inventory = has_inventory
    entry = await set_up(hass, reader)
    for each in ids:
        await report(reader, each)
        await run_for(hass, entry, reader, time_machine, 30)
    assert reader.requests.count(INVENTORY) in (count, count - (count > 2))
    assert ids[0][0] in devices(hass, entry)


def test_states_of_the_inventory_are_known_despite_many_others() -> None:
    appliance = KnownAppliance("x", "X")
    for n in range(100):
        appliance._add_state(f"garbage {n}", is_on=None)  # noqa: SLF001 (limits the memory)
    states = tuple(ApplianceState(name=name, is_on=name != "off") for name in ("off", "on", "full"))
    appliance.update_from_inventory(ApplianceProfile(id="x", states=states))
    for n in range(100):
        appliance._add_state(f"more {n}", is_on=None)  # noqa: SLF001
    known = appliance._is_on_by_state  # noqa: SLF001
    assert len(known) == 50
    assert {name: known[name] for name in ("off", "on", "full")} == {"off": False, "on": True, "full": True}
    assert known.keys() >= {"more 99"}
