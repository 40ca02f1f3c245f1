"""Appliances of a CurrentlyOne, and what happens to them."""

from collections.abc import Iterable
from datetime import timedelta

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import Measurement, connection, currentlyone

from .home_assistant import entity_id, set_up, settle, state_of
from .simulators import CurrentlyOneSimulator
from .simulators.house import Appliance, State, usual_appliances
from .wait import wait_until

pytestmark = pytest.mark.smoke

READER = "b8b41879cf58"


@pytest.fixture
def reader(currentlyone: CurrentlyOneSimulator) -> CurrentlyOneSimulator:
    return currentlyone


def unique_id(appliance: str) -> str:
    return f"{READER}:{appliance}:transition"


async def test_transition_is_an_event_with_all_that_the_reader_says(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    state = state_of(hass, "event", unique_id("mocca_mast"))
    assert state.name == "Mocca Master Transition"
    attributes = {key: state.attributes[key] for key in state.attributes if key != "friendly_name"}
    time = attributes.pop("device_time")
    assert attributes == {
        "event_types": ["turned_on", "turned_off", "state_changed"],
        "event_type": "turned_on",
        "state": "on",
        "previous_state": "off",
        "power": 1450,
        "energy": 0,
        "category": "coffee-makers",
    }
    assert time == "2026-11-21T11:20:00+00:00".replace("2026-11-21", f"{reader.house.clock:%Y-%m-%d}")
    await reader.tick(10)
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    attributes = state_of(hass, "event", unique_id("mocca_mast")).attributes
    assert (attributes["event_type"], attributes["state"], attributes["energy"]) == ("turned_off", "off", 4)


async def test_change_between_two_states_that_are_on_is_neither_on_nor_off(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    seen = []
    for state in ("washing", "heating", "off", "heating"):
        await reader.switch("dishwasher", state)
        await settle(hass, entry, reader)
        attributes = state_of(hass, "event", unique_id("dishwasher")).attributes
        seen.append((attributes["event_type"], attributes["state"], attributes["previous_state"]))
    assert seen == [
        ("turned_on", "washing", "off"),
        ("state_changed", "heating", "washing"),
        ("turned_off", "off", "heating"),
        ("turned_on", "heating", "off"),
    ]


async def test_report_of_the_state_it_is_in_is_no_event(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).state == "unknown"


async def test_same_report_twice_is_one_event(hass: HomeAssistant, reader: CurrentlyOneSimulator) -> None:
    entry = await set_up(hass, reader)
    change = reader.house.switch("mocca_mast", "on")
    await reader.send_transition(change)
    await settle(hass, entry, reader)
    first = state_of(hass, "event", unique_id("mocca_mast")).state
    await reader.send_transition(change)
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).state == first


async def test_report_without_a_binary_state_is_a_change_of_state(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long after the connect: what has no time then happens now.
    monkeypatch.setattr(currentlyone, "_REPLAY_DURATION", 0)
    entry = await set_up(hass, reader)
    data = '{"id":"sauna","sName":"warm","from":"cold"}'
    await reader.broadcast(f"event: transition\r\ndata: {data}\r\n\r\n".encode())
    await settle(hass, entry, reader)
    attributes = state_of(hass, "event", unique_id("sauna")).attributes
    assert attributes["event_type"] == "state_changed"
    assert attributes["device_time"] is None


async def test_what_the_reader_repeats_on_connect_is_no_event(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    repeated = bytearray()
    config = reader.config

    async def remember(data: bytes) -> None:
        repeated.extend(data)

    monkeypatch.setattr(reader, "_send", remember)
    await reader.switch("mocca_mast", "on")
    await reader.advance(30)
    monkeypatch.undo()
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    assert b"event: transition" in repeated
    # Whether a device repeats transitions is not documented; this one does, in the place of its name's end.
    monkeypatch.setattr(reader, "config", lambda: f"{config()}\r\n\r\n{repeated.decode().strip()}")

    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).state == "unknown"
    reader.end_streams()
    await wait_until(lambda: reader.stream_count == 2 and reader.streams)
    await settle(hass, entry, reader)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.stream_count == 3 and reader.streams)
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).state == "unknown"
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).attributes["event_type"] == "turned_off"


@pytest.mark.parametrize("config", ["no time", "a clock that jumped back"])
@pytest.mark.parametrize("kind", ["transition", "detection"])
async def test_what_is_repeated_without_a_time_that_can_be_told_is_a_state_and_no_event(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    kind: str,
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).attributes["event_type"] == "turned_on"
    said: list[bytes] = []
    broadcast = reader.broadcast

    async def note(data: bytes) -> None:
        said.append(data)

    count = reader.stream_count
    monkeypatch.setattr(reader, "broadcast", note)
    await reader.switch("mocca_mast", "off")
    monkeypatch.setattr(reader, "broadcast", broadcast)
    repeated = said[0 if kind == "transition" else 1]
    if config == "no time":
        written = reader.config()
        monkeypatch.setattr(reader, "config", lambda: written.replace('"t":', '"was":'))
    else:
        reader.clock_error = timedelta(hours=-5)
    reader.recording = b"event: config\r\ndata: " + reader.config().encode() + b"\r\n\r\n" + repeated
    reader.end_streams()
    await wait_until(lambda: reader.stream_count > count and reader.streams)
    await settle(hass, entry, reader)
    assert state_of(hass, "binary_sensor", f"{READER}:mocca_mast:running").state == "off"
    assert state_of(hass, "event", unique_id("mocca_mast")).attributes["event_type"] == "turned_on"


async def test_appliance_that_was_only_detected_has_its_device_and_waits(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, reader: CurrentlyOneSimulator
) -> None:
    reader.has_inventory = False
    await reader.switch("mocca_mast", "on")
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).state == "unknown"
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:mocca_mast"), entry.entry_id)
    assert device is not None
    assert device.name == "Mocca mast", "its name is not known"


async def test_appliances_are_found_again_after_a_restart(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, reader: CurrentlyOneSimulator
) -> None:
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await reader.switch("dishwasher", "washing")
    await settle(hass, entry, reader)
    before = state_of(hass, "event", unique_id("dishwasher"))
    reader._detected.clear()  # noqa: SLF001 (a device that forgot all with its own restart)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await hass.async_block_till_done()
    assert {each.id for each in entry.runtime_data.coordinator.data.appliances} == {
        "mocca_mast",
        "dishwasher",
    }
    after = state_of(hass, "event", unique_id("dishwasher"))
    assert (after.entity_id, after.state) == (before.entity_id, before.state)
    assert after.name == "Dishwasher Transition"
    await reader.switch("dishwasher", "off")
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("dishwasher")).attributes["event_type"] == "turned_off"
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:dishwasher"), entry.entry_id)
    assert device is not None
    assert (device.model, device.model_id) == ("Dishwasher", None)


async def test_name_follows_the_readers_and_the_ids_stay(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    before = entity_id(hass, "event", unique_id("mocca_mast"))
    reader.house.appliances[0].name = "Espresso"
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:mocca_mast"), entry.entry_id)
    assert device is not None
    assert device.name == "Espresso"
    assert entity_id(hass, "event", unique_id("mocca_mast")) == before


async def test_appliance_may_be_called_like_a_measurement(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    off, on = State("off", 0, is_on=False), State("on", 5, is_on=True)
    reader.house.appliances = [Appliance("voltage_l1", "V", "x", 0, (off, on), (10**9, 10**9))]
    entry = await set_up(hass, reader)
    await reader.switch("voltage_l1", "on")
    await settle(hass, entry, reader)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)
    assert {each.id for each in entry.runtime_data.coordinator.data.appliances} == {"voltage_l1"}
    assert Measurement.VOLTAGE_L1 in entry.runtime_data.coordinator.data.measurements


AUTOMATION = {
    "automation": {
        "triggers": {
            "trigger": "event.received",
            "target": {"entity_id": "event.mocca_master_transition"},
            "options": {"event_type": ["turned_on"]},
        },
        "actions": {"action": "test.coffee"},
    }
}


@pytest.fixture
async def coffee_calls(hass: HomeAssistant) -> list[ServiceCall]:
    calls: list[ServiceCall] = async_mock_service(hass, "test", "coffee")
    assert await async_setup_component(hass, "automation", AUTOMATION)
    return calls


async def test_automation_fires_on_event_received_once_for_each_transition(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, coffee_calls: list[ServiceCall]
) -> None:
    entry = await set_up(hass, reader)
    for expected in (1, 2):
        await reader.switch("mocca_mast", "on")
        await settle(hass, entry, reader)
        await reader.switch("mocca_mast", "off")
        await settle(hass, entry, reader)
        assert len(coffee_calls) == expected
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await settle(hass, entry, reader)
    assert len(coffee_calls) == 2


async def test_transition_that_arrives_while_home_assistant_sets_up_starts_automations_at_once(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    coffee_calls: list[ServiceCall],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = bytearray()

    async def remember(data: bytes) -> None:
        sent.extend(data)

    config = reader.config()
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_send", remember)
        await reader.switch("mocca_mast", "on")
    # In one piece with what it says on connect, and before there can be an entity.
    reader._detected.clear()  # noqa: SLF001
    monkeypatch.setattr(reader, "config", lambda: f"{config}\r\n\r\n{sent.decode().strip()}")
    forward = hass.config_entries.async_forward_entry_setups

    async def forward_late(entry: MockConfigEntry, platforms: Iterable[Platform]) -> None:
        appliances = entry.runtime_data.coordinator.data.appliances
        await wait_until(lambda: any(each.pending_events for each in appliances))
        await forward(entry, platforms)

    monkeypatch.setattr(hass.config_entries, "async_forward_entry_setups", forward_late)
    entry = await set_up(hass, reader)
    # The reader says nothing more, and an automation reacts to a change of the entity's state only.
    await wait_until(lambda: coffee_calls)
    await settle(hass, entry, reader)
    assert state_of(hass, "event", unique_id("mocca_mast")).attributes["event_type"] == "turned_on"
    assert len(coffee_calls) == 1


async def test_disabled_event_entity_hoards_nothing(
    hass: HomeAssistant, entity_registry: er.EntityRegistry, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    found = entity_id(hass, "event", unique_id("mocca_mast"))
    assert found is not None
    entity_registry.async_update_entity(found, disabled_by=er.RegistryEntryDisabler.USER)
    await hass.async_block_till_done()
    for _ in range(30):
        await reader.switch("mocca_mast", "off")
        await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert all(len(each.pending_events) <= 16 for each in entry.runtime_data.coordinator.data.appliances)


def test_house_of_the_simulators_has_what_these_tests_are_about() -> None:
    assert {a.id for a in usual_appliances()} >= {"mocca_mast", "dishwasher"}
