"""Events of appliances."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from homeassistant.const import EVENT_STATE_CHANGED, Platform
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_mock_service,
)

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import connection, currentlyone

from .home_assistant import entity_id, set_up, state_of
from .simulators import CurrentlyOneSimulator
from .state_writes import watch_states
from .test_appliances import READER, Kitchen
from .wait import wait_until

pytestmark = pytest.mark.smoke


@pytest.fixture
def kitchen(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> Kitchen:
    return Kitchen(hass, currentlyone)


async def record_switch(
    monkeypatch: pytest.MonkeyPatch, reader: CurrentlyOneSimulator, appliance: str, state: str
) -> list[bytes]:
    """Switch an appliance without a client, and return the transition and the detection."""
    sent: list[bytes] = []

    async def record(data: bytes) -> None:
        sent.append(data)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "broadcast", record)
        await reader.switch(appliance, state)
    return sent


async def test_transition_is_an_event_with_its_data(kitchen: Kitchen) -> None:
    await kitchen.set_up()
    time = kitchen.reader.house.clock
    await kitchen.turn("mocca_mast", "on")
    event = kitchen.event("mocca_mast")
    assert event.name == "Mocca Master State change"
    assert {key: event.attributes[key] for key in event.attributes if key != "friendly_name"} == {
        "event_types": ["turned_on", "turned_off", "state_changed"],
        "event_type": "turned_on",
        "state": "on",
        "previous_state": "off",
        "power": 1450,
        "energy": 0,
        "category": "coffee-makers",
        "device_time": time.isoformat(),
    }
    await kitchen.reader.tick(10)
    await kitchen.turn("mocca_mast", "off")
    attributes = kitchen.event("mocca_mast").attributes
    assert (attributes["event_type"], attributes["state"], attributes["energy"]) == ("turned_off", "off", 4)


async def test_transition_writes_each_state_once(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write each state once, and nothing into the device registry."""
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    registered: list[object] = []
    get_or_create = dr.DeviceRegistry.async_get_or_create

    def record(*args: Any, **options: Any) -> dr.DeviceEntry:
        registered.append(options)
        return get_or_create(*args, **options)

    monkeypatch.setattr(dr.DeviceRegistry, "async_get_or_create", record)
    unique_ids = {
        Platform.EVENT: "transition",
        Platform.BINARY_SENSOR: "running",
        Platform.SENSOR: "power",
    }
    entity_ids = [
        state_of(kitchen.hass, platform, f"{READER}:mocca_mast:{key}").entity_id
        for platform, key in unique_ids.items()
    ]
    writes = watch_states(kitchen.hass, *entity_ids)
    sec = int(kitchen.reader.house.clock.timestamp()) + 10
    await kitchen.report(
        "transition", id="mocca_mast", bs="OFF", sName="off", W=0, Wh=10, sec=sec, **{"from": "on"}
    )
    assert sorted(write.entity_id for write in writes) == sorted(entity_ids)
    assert registered == []


async def test_change_between_two_running_states_is_an_event(kitchen: Kitchen) -> None:
    await kitchen.set_up()
    events = []
    for state in ("washing", "heating", "off", "heating"):
        await kitchen.turn("dishwasher", state)
        attributes = kitchen.event("dishwasher").attributes
        events.append((attributes["event_type"], attributes["state"], attributes["previous_state"]))
    assert events == [
        ("turned_on", "washing", "off"),
        ("state_changed", "heating", "washing"),
        ("turned_off", "off", "heating"),
        ("turned_on", "heating", "off"),
    ]


async def test_report_without_a_change_fires_no_event(kitchen: Kitchen) -> None:
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "off")
    assert kitchen.event("mocca_mast").state == "unknown"
    change = kitchen.reader.house.switch("mocca_mast", "on")
    await kitchen.reader.send_transition(change)
    await kitchen.settle()
    first = kitchen.event("mocca_mast").state
    await kitchen.reader.send_transition(change)
    await kitchen.settle()
    assert kitchen.event("mocca_mast").state == first != "unknown"


async def test_transition_without_a_binary_state_is_an_event(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After the replay, a report without a time is a new one.
    monkeypatch.setattr(currentlyone, "_REPLAY_DURATION", 0)
    await kitchen.set_up()
    await kitchen.report("transition", id="sauna", sName="warm", **{"from": "cold"})
    attributes = kitchen.event("sauna").attributes
    assert (attributes["event_type"], attributes["device_time"]) == ("state_changed", None)


async def test_replayed_transition_fires_no_event(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    reader = kitchen.reader
    replayed = b"".join(await record_switch(monkeypatch, reader, "mocca_mast", "on"))
    await reader.advance(30)
    # It is not documented whether a device repeats transitions.
    monkeypatch.setattr(reader, "_greeting", lambda: kitchen.encode("config", reader.config()) + replayed)
    await kitchen.set_up()
    await kitchen.settle()
    assert kitchen.event("mocca_mast").state == "unknown"
    await kitchen.reconnect()
    await kitchen.restart()
    await kitchen.settle()
    assert kitchen.event("mocca_mast").state == "unknown"
    await kitchen.turn("mocca_mast", "off")
    assert kitchen.event("mocca_mast").attributes["event_type"] == "turned_off"


@pytest.mark.parametrize("clock", ["missing", "set back"])
@pytest.mark.parametrize("index", [0, 1], ids=["transition", "detection"])
async def test_replay_of_unknown_age_changes_the_state_only(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, clock: str, index: int
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    reader = kitchen.reader
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    replayed = (await record_switch(monkeypatch, reader, "mocca_mast", "off"))[index]
    if clock == "set back":
        reader.clock_error = timedelta(hours=-5)
    config = reader.config() if clock == "set back" else reader.config().replace('"t":', '"other":')
    reader.recording = kitchen.encode("config", config) + replayed
    await kitchen.reconnect()
    assert kitchen.shown("mocca_mast", "running") == "off"
    assert kitchen.event("mocca_mast").attributes["event_type"] == "turned_on"


async def test_renamed_appliance_keeps_its_ids(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, kitchen: Kitchen
) -> None:
    entry = await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    before = entity_id(hass, "event", f"{READER}:mocca_mast:transition")
    kitchen.reader.house.appliances[0].name = "Espresso"
    await kitchen.turn("mocca_mast", "off")
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:mocca_mast"), entry.entry_id)
    assert device is not None
    assert device.name == "Espresso"
    assert entity_id(hass, "event", f"{READER}:mocca_mast:transition") == before


@pytest.mark.parametrize("seconds_apart", [0, 1])
@pytest.mark.parametrize("detection_first", [False, True])
async def test_transition_and_detection_are_one_event(
    hass: HomeAssistant, kitchen: Kitchen, *, detection_first: bool, seconds_apart: int
) -> None:
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "off")
    await kitchen.reader.tick(10)
    changes = async_capture_events(hass, EVENT_STATE_CHANGED)
    second = int(kitchen.reader.house.clock.timestamp())
    transition = {"id": "mocca_mast", "bs": "ON", "sName": "on", "from": "off", "Wh": 9, "sec": second}
    detected = [{"id": "mocca_mast", "to": 1, "Wh": 9}]
    both = [
        kitchen.encode("transition", transition),
        kitchen.encode("state", {"m": "ALL", "sec": second + seconds_apart, "detected": detected}),
    ]
    await kitchen.reader.broadcast(b"".join(reversed(both) if detection_first else both))
    await kitchen.settle()
    event = kitchen.event("mocca_mast").entity_id
    states = [change.data["new_state"] for change in changes if change.data["entity_id"] == event]
    assert [state.attributes["event_type"] for state in states] == ["turned_on"]


# ---------------------------------------------------------------------------------------------- automations

AUTOMATION = {
    "triggers": {
        "trigger": "event.received",
        "target": {"entity_id": "event.mocca_master_state_change"},
        "options": {"event_type": ["turned_on"]},
    },
    "actions": {"action": "test.coffee"},
}


@pytest.fixture
async def coffee_calls(hass: HomeAssistant) -> list[ServiceCall]:
    """Return a list of the runs of an automation."""
    calls: list[ServiceCall] = async_mock_service(hass, "test", "coffee")
    assert await async_setup_component(hass, "automation", {"automation": AUTOMATION})
    return calls


async def test_automation_runs_once_for_each_transition(
    kitchen: Kitchen, coffee_calls: list[ServiceCall]
) -> None:
    await kitchen.set_up()
    for expected in (1, 2):
        await kitchen.turn("mocca_mast", "on")
        await kitchen.turn("mocca_mast", "off")
        assert len(coffee_calls) == expected
    await kitchen.restart()
    await kitchen.settle()
    assert len(coffee_calls) == 2


async def test_automation_runs_for_a_transition_during_a_setup(
    hass: HomeAssistant,
    kitchen: Kitchen,
    coffee_calls: list[ServiceCall],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = kitchen.reader
    sent = await record_switch(monkeypatch, reader, "mocca_mast", "on")
    # The transition is received before the entity is added.
    reader.recording = kitchen.encode("config", reader.config()) + b"".join(sent)
    forward = hass.config_entries.async_forward_entry_setups

    async def forward_late(entry: MockConfigEntry, platforms: Iterable[Platform]) -> None:
        appliances = entry.runtime_data.coordinator.data.appliances
        await wait_until(lambda: any(each.pending_events for each in appliances))
        await forward(entry, platforms)

    monkeypatch.setattr(hass.config_entries, "async_forward_entry_setups", forward_late)
    kitchen.entry = await set_up(hass, reader)
    await wait_until(lambda: coffee_calls)
    await kitchen.settle()
    assert kitchen.event("mocca_mast").attributes["event_type"] == "turned_on"
    assert len(coffee_calls) == 1
