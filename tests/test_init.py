"""Setting up, losing and finding the reader again, and unloading."""

import asyncio
from functools import partial
import logging
import re

from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceRegistry
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import READERS, Measurement as M, connection

from .home_assistant import entry_for, set_up, state_of, tick
from .logs import logged_messages
from .simulators import CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

CURRENTLYONE_POWER = "b8b41879cf58_active_power_import"


# ------------------------------------------------------------------------------------------- set-up


async def test_reader_that_is_away_is_tried_again_by_home_assistant(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt)
    entry.add_to_hass(hass)
    await protected_whatwatt.stop()
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.reason == "The reader cannot be reached: connection refused"
    await protected_whatwatt.start(protected_whatwatt.port)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: protected_whatwatt.streams)


async def test_another_reader_at_the_address_is_refused_and_said(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt)
    entry.add_to_hass(hass)
    protected_whatwatt.device_id = "ECC9FF000000"
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.reason == "The reader cannot be reached: another device responds at this address"
    assert protected_whatwatt.stream_count == 0


async def test_wrong_password_asks_the_user_and_leaves_the_reader_alone(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = entry_for(protected_whatwatt, password="wrong")
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    await hass.async_block_till_done()
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_REAUTH
    requests = len(protected_whatwatt.requests)
    await time_machine.advance(900)
    assert len(protected_whatwatt.requests) == requests <= 4


async def test_device_that_never_says_who_it_is_does_not_block_the_start(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.energy_sse.coordinator._FIRST_CONTACT_TIMEOUT", 0.1)
    monkeypatch.setattr(currentlyone, "config", lambda: "{}")
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.reason == "The reader cannot be reached: the device does not identify itself"
    await wait_until(lambda: not currentlyone.streams)


# ------------------------------------------------------------------------------------------ unloading


@pytest.mark.usefixtures("time_machine")
async def test_unloading_ends_the_stream_at_once(hass: HomeAssistant, any_reader: Simulator) -> None:
    entry = await set_up(hass, any_reader)
    await tick(hass, any_reader)
    async with asyncio.timeout(2):
        assert await hass.config_entries.async_unload(entry.entry_id)
        await wait_until(lambda: not any_reader.streams)
    assert entry.state is ConfigEntryState.NOT_LOADED


async def say_nothing(
    connected: asyncio.Event,
    hung_up: asyncio.Event,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Take the call and stay silent."""
    connected.set()
    await reader.read(-1)
    hung_up.set()
    writer.close()


@pytest.mark.usefixtures("time_machine")
async def test_unloading_in_the_middle_of_a_connect_ends_it_at_once(
    hass: HomeAssistant, house: House
) -> None:
    connected = asyncio.Event()
    hung_up = asyncio.Event()
    server = await asyncio.start_server(partial(say_nothing, connected, hung_up), "127.0.0.1", 0)
    async with server:
        entry = entry_for(
            CurrentlyOneSimulator(house),
            host=f"127.0.0.1:{server.sockets[0].getsockname()[1]}",
        )
        entry.add_to_hass(hass)
        setup = hass.async_create_task(hass.config_entries.async_setup(entry.entry_id))
        async with asyncio.timeout(2):
            await connected.wait()
            setup.cancel()
            await asyncio.wait([setup])
            await hung_up.wait()


@pytest.mark.usefixtures("time_machine")
async def test_unloading_in_the_middle_of_a_reconnect_ends_it_at_once(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    entry = await set_up(hass, currentlyone)
    await currentlyone.stop()
    connected = asyncio.Event()
    hung_up = asyncio.Event()
    server = await asyncio.start_server(
        partial(say_nothing, connected, hung_up), "127.0.0.1", currentlyone.port, reuse_port=True
    )
    async with server, asyncio.timeout(10):
        entry.runtime_data.coordinator.async_handle_announcement(currentlyone.host)
        await connected.wait()
        async with asyncio.timeout(2):
            assert await hass.config_entries.async_unload(entry.entry_id)
            await hung_up.wait()


@pytest.mark.usefixtures("time_machine")
async def test_unloading_while_waiting_to_reconnect_ends_the_wait(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, protected_whatwatt)
    await protected_whatwatt.stop()
    async with asyncio.timeout(2):
        assert await hass.config_entries.async_unload(entry.entry_id)


# ------------------------------------------------------------------------------- freshness and the link


async def test_drop_that_ends_in_time_is_not_seen(
    hass: HomeAssistant,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    await set_up(hass, protected_whatwatt)
    await tick(hass, protected_whatwatt)
    seen: list[str] = []
    voltage = state_of(hass, "sensor", "ECC9FF5C7F14_voltage_l1").entity_id

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        assert event.data["new_state"] is not None
        seen.append(event.data["new_state"].state)

    async_track_state_change_event(hass, voltage, note)
    protected_whatwatt.end_streams()
    await wait_until(lambda: protected_whatwatt.stream_count == 2 and protected_whatwatt.streams)
    await tick(hass, protected_whatwatt)
    assert seen
    assert "unavailable" not in seen
    assert not [line for line in logged_messages(caplog) if "sends" in line]


async def test_readings_that_stay_away_are_said_once_and_once_when_they_are_back(
    hass: HomeAssistant,
    any_reader: Simulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "custom_components.energy_sse")
    power = f"{any_reader.device_id}_active_power_import"
    await set_up(hass, any_reader)
    await tick(hass, any_reader)
    any_reader.stop_meter()
    # A reader that repeats its readings after a reconnect repeats old ones.
    await any_reader.advance(600)
    await time_machine.advance(59)
    assert state_of(hass, "sensor", power).state != "unavailable"
    await time_machine.advance(2)
    assert state_of(hass, "sensor", power).state == "unavailable"
    await time_machine.advance(600)
    while not any_reader.streams:
        await time_machine.advance(10)
    any_reader.resume_meter()
    for _ in range(8):
        await tick(hass, any_reader)
        await time_machine.advance(10)
    assert state_of(hass, "sensor", power).state != "unavailable"
    lost, back = logged_messages(caplog)
    model = READERS[any_reader.kind].model
    assert re.fullmatch(f"The {model} sends no readings: (the meter sends nothing|no data)", lost)
    assert back == f"The {model} sends readings again"


def was_alive_since(entry: MockConfigEntry, time: float) -> bool:
    return bool(entry.runtime_data.coordinator.availability._activity.last >= time)  # noqa: SLF001


async def test_signs_of_life_keep_no_measurement_alive(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "custom_components.energy_sse")
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await currentlyone.switch("mocca_mast", "on")
    await wait_until(lambda: hass.states.async_all("event"))
    currentlyone.meter_is_connected = False
    currentlyone.house.appliances.clear()
    for _ in range(4):
        await time_machine.advance(20)
        pinged_at = time_machine.now()
        await currentlyone.tick(20)
        # A ping shows nowhere else.
        await wait_until(partial(was_alive_since, entry, pinged_at))
    assert state_of(hass, "sensor", CURRENTLYONE_POWER).state == "unavailable"
    transition = state_of(hass, "event", "b8b41879cf58:mocca_mast:transition")
    assert transition.state != "unavailable"
    assert "sends no readings: the meter sends nothing" in caplog.text


async def test_reader_that_vanishes_takes_its_events_with_it(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await currentlyone.switch("mocca_mast", "on")
    await wait_until(lambda: hass.states.async_all("event"))
    await currentlyone.stop()
    await time_machine.advance(120)
    assert state_of(hass, "event", "b8b41879cf58:mocca_mast:transition").state == "unavailable"


async def test_password_that_changes_while_streaming_asks_the_user(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, protected_whatwatt)
    assert protected_whatwatt.login is not None
    protected_whatwatt.login.password = "another"
    protected_whatwatt.end_streams()
    await time_machine.advance(60)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    requests = len(protected_whatwatt.requests)
    await time_machine.advance(900)
    assert len(protected_whatwatt.requests) == requests


@pytest.mark.errors
async def test_fault_of_one_entity_takes_neither_the_others_nor_the_stream_with_it(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    entry = await set_up(hass, protected_whatwatt)
    entry.async_on_unload(entry.runtime_data.coordinator.async_add_listener(lambda: 1 / 0, M.VOLTAGE_L1))
    await tick(hass, protected_whatwatt)
    await tick(hass, protected_whatwatt)
    assert (
        float(state_of(hass, "sensor", "ECC9FF5C7F14_voltage_l1").state) == protected_whatwatt.live()["V_P1"]
    )
    assert protected_whatwatt.stream_count == 1
    assert "Unexpected error updating listener" in caplog.text


async def test_firmware_in_the_device_registry_follows_the_device(
    hass: HomeAssistant,
    device_registry: DeviceRegistry,
    currentlyone: CurrentlyOneSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    entry = await set_up(hass, currentlyone)
    currentlyone.firmware = "2.9.0"
    await currentlyone.announce_restart("fota")

    def version() -> str | None:
        device = device_registry.async_get_device_by_identifier((DOMAIN, "b8b41879cf58"), entry.entry_id)
        assert device is not None
        return device.sw_version

    assert version() == "2.8.9"
    await wait_until(lambda: version() == "2.9.0")
