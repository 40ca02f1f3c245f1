"""Setup, disconnects and outages."""

from functools import partial
import logging
import re

from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import HomeAssistant
from homeassistant.helpers.device_registry import DeviceRegistry
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import Measurement as M, connection

from .home_assistant import entry_for, set_up, state_of, tick
from .logs import logged_messages
from .simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

CURRENTLYONE_POWER = "b8b41879cf58_active_power_import"
TRANSITION = "b8b41879cf58:mocca_mast:transition"


async def test_setup_is_retried_while_the_reader_is_offline(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt)
    entry.add_to_hass(hass)
    await protected_whatwatt.stop()
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.reason == "The reader refused the connection"
    await protected_whatwatt.start(protected_whatwatt.port)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: protected_whatwatt.streams)


async def test_wrong_password_starts_reauth_and_no_more_requests(
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


async def test_setup_ends_without_an_identity(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.energy_sse.coordinator._FIRST_ATTEMPT_TIMEOUT", 0.1)
    monkeypatch.setattr(currentlyone, "config", lambda: "{}")
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.reason == "The reader does not identify itself"
    await wait_until(lambda: not currentlyone.streams)


async def test_short_disconnect_changes_no_state(
    hass: HomeAssistant,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    await set_up(hass, protected_whatwatt)
    await tick(hass, protected_whatwatt)
    voltage = state_of(hass, "sensor", "ECC9FF5C7F14_voltage_l1").entity_id
    changes = async_capture_events(hass, EVENT_STATE_CHANGED)
    protected_whatwatt.end_streams()
    await wait_until(lambda: protected_whatwatt.stream_count == 2 and protected_whatwatt.streams)
    await tick(hass, protected_whatwatt)
    states = [event.data["new_state"].state for event in changes if event.data["entity_id"] == voltage]
    assert states
    assert "unavailable" not in states
    assert not [line for line in logged_messages(caplog) if "sends" in line]


async def test_outage_is_logged_once_at_its_begin_and_its_end(
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
    # The readings that a reader repeats after a reconnect are old then.
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
    assert re.fullmatch("Meter sends no readings: (the meter sends no data|stream idle)", lost)
    assert back == "Meter sends readings again"


async def test_reading_from_before_the_connect_is_not_new(
    hass: HomeAssistant, any_reader: Simulator, time_machine: TimeMachine
) -> None:
    power = f"{any_reader.device_id}_active_power_import"
    await set_up(hass, any_reader)
    await tick(hass, any_reader)
    any_reader.stop_meter()
    await any_reader.advance(120)
    await time_machine.advance(120)
    connects = any_reader.stream_count
    any_reader.end_streams()
    while any_reader.stream_count == connects or not any_reader.streams:
        await time_machine.advance(10)
    await time_machine.advance(1)
    await hass.async_block_till_done()
    assert state_of(hass, "sensor", power).state == "unavailable"


def was_active_since(entry: MockConfigEntry, time: float) -> bool:
    return bool(entry.runtime_data.coordinator.availability._activity.last >= time)  # noqa: SLF001


async def set_up_with_transition(hass: HomeAssistant, reader: CurrentlyOneSimulator) -> MockConfigEntry:
    """Set up a reader that has reported a transition of an appliance."""
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    await reader.switch("mocca_mast", "on")
    await wait_until(lambda: hass.states.async_all("event"))
    return entry


async def test_pings_keep_appliances_available_but_not_values(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "custom_components.energy_sse")
    entry = await set_up_with_transition(hass, currentlyone)
    currentlyone.meter_is_connected = False
    currentlyone.house.appliances.clear()
    for _ in range(4):
        await time_machine.advance(20)
        pinged_at = time_machine.now()
        await currentlyone.tick(20)
        # Only this value shows that a ping was received.
        await wait_until(partial(was_active_since, entry, pinged_at))
    assert state_of(hass, "sensor", CURRENTLYONE_POWER).state == "unavailable"
    transition = state_of(hass, "event", TRANSITION)
    assert transition.state != "unavailable"
    assert "sends no readings: the meter sends no data" in caplog.text


async def test_appliances_are_available_again_before_the_first_reading(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    # The registers stay valid for longer than an hour.
    currentlyone.sends_registers_hourly = True
    await set_up_with_transition(hass, currentlyone)
    for _ in range(3):
        await time_machine.advance(10)
        await tick(hass, currentlyone)
    currentlyone.meter_is_connected = currentlyone.stores_readings = False
    transition = partial(state_of, hass, "event", TRANSITION)
    await currentlyone.stop()
    await time_machine.advance(120)
    assert transition().state == "unavailable"
    await currentlyone.start(currentlyone.port)
    while not currentlyone.streams:
        await time_machine.advance(10)
    await currentlyone.tick(20)
    await wait_until(lambda: transition().state != "unavailable")
    assert state_of(hass, "sensor", CURRENTLYONE_POWER).state == "unavailable"


async def test_appliances_are_available_again_before_readings_expire(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    await set_up_with_transition(hass, currentlyone)
    for _ in range(5):
        for _ in range(4):
            await time_machine.advance(15)
            await currentlyone.send_heartbeat()
        await tick(hass, currentlyone, 60)
    transition = partial(state_of, hass, "event", TRANSITION)
    await currentlyone.stop()
    await time_machine.advance(90)
    assert transition().state == "unavailable"
    # The meter sends a reading each minute.
    assert state_of(hass, "sensor", CURRENTLYONE_POWER).state != "unavailable"
    currentlyone.stores_readings = False
    await currentlyone.start(currentlyone.port)
    while not currentlyone.streams:
        await time_machine.advance(10)
    await wait_until(lambda: transition().state != "unavailable")


async def test_appliances_are_unavailable_when_the_reader_is_offline(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    await set_up_with_transition(hass, currentlyone)
    await currentlyone.stop()
    await time_machine.advance(120)
    assert state_of(hass, "event", TRANSITION).state == "unavailable"


async def test_changed_password_starts_reauth_and_no_more_requests(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, protected_whatwatt)
    assert protected_whatwatt.auth is not None
    protected_whatwatt.auth.password = "another"
    protected_whatwatt.end_streams()
    await time_machine.advance(60)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    requests = len(protected_whatwatt.requests)
    await time_machine.advance(900)
    assert len(protected_whatwatt.requests) == requests


@pytest.mark.errors
async def test_error_in_one_listener_affects_no_other(
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


async def test_firmware_update_is_shown_in_the_device_registry(
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
