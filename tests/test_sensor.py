"""What the meter measures, as Home Assistant shows it."""

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
import pytest

from custom_components.energy_sse.reader import READERS, Measurement as M, currentlyone

from .conftest import Start
from .home_assistant import entity_id, set_up, state_of, tick
from .simulators import CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .simulators.whatwatt import Firmware
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

# Measurements that are not sent: quadrants that the house is never in, and by most kinds the meter's time.
NOT_SENT = {
    "whatwatt": {
        M.METER_CLOCK_OFFSET,
        M.REACTIVE_ENERGY_IMPORTED_INDUCTIVE,
        M.REACTIVE_ENERGY_EXPORTED_INDUCTIVE,
    },
    "currentlyone": set(),
}


def sensors(hass: HomeAssistant, reader_id: str) -> set[M]:
    """Return the measurements that have a sensor."""
    return {m for m in M if entity_id(hass, "sensor", f"{reader_id}_{m}")}


def value(hass: HomeAssistant, reader_id: str, measurement: M) -> str:
    return state_of(hass, "sensor", f"{reader_id}_{measurement}").state


async def send(hass: HomeAssistant, reader: WhatwattSimulator, data: bytes) -> None:
    """Send bytes and one more event, and wait until they have been processed."""
    (entry,) = hass.config_entries.async_entries("energy_sse")
    number = int(entry.runtime_data.coordinator.data.values.get(M.ACTIVE_TARIFF, 0)) + 1000
    await reader.broadcast(data)
    await reader.send_values({"T": number})
    await wait_until(lambda: entry.runtime_data.coordinator.data.values.get(M.ACTIVE_TARIFF) == number)
    await hass.async_block_till_done()


def live(payload: str) -> bytes:
    return f"event: live\ndata: {payload}\n\n".encode()


async def test_every_measurement_of_a_house_with_sun_and_tariffs_has_its_sensor(
    hass: HomeAssistant,
    any_reader: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The house's clock jumps from noon to night.
    monkeypatch.setattr(currentlyone, "_REPLAY_DURATION", 0)
    await set_up(hass, any_reader)
    # By day power is exported, by night it is imported on all phases; so is reactive power in this house.
    any_reader.house.switch("heat_pump", "off")
    await any_reader.send_everything()
    any_reader.house.clock = any_reader.house.clock.replace(hour=23)
    await any_reader.send_everything()
    await tick(hass, any_reader)
    any_reader.house.reactive_import = 1.0
    reactive = any_reader.house.reactive_power
    any_reader.house.reactive_power = [-value for value in reactive]
    any_reader.house.voltage[0] += 0.5
    await any_reader.send_reading()
    not_sent = NOT_SENT.get(any_reader.kind, {M.METER_CLOCK_OFFSET})
    expected = set(READERS[any_reader.kind].units) - not_sent
    await wait_until(lambda: expected <= sensors(hass, any_reader.device_id))
    await hass.async_block_till_done()
    assert sensors(hass, any_reader.device_id) == expected


async def test_values_are_the_meters_in_the_units_of_a_household(
    hass: HomeAssistant, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    await set_up(hass, reader)
    await tick(hass, reader)
    payload = reader.live()

    def shown(measurement: M) -> float:
        return float(value(hass, reader.device_id, measurement))

    assert shown(M.ACTIVE_POWER_EXPORT) == pytest.approx(payload["P_Out"] * 1000)
    assert shown(M.ACTIVE_POWER_NET) == pytest.approx(-payload["P_Out"] * 1000)
    assert shown(M.ACTIVE_ENERGY_IMPORT) == payload["E_In"]
    assert shown(M.VOLTAGE_L2) == payload["V_P2"]
    assert shown(M.CURRENT_L3) == payload["I_P3"]
    assert value(hass, reader.device_id, M.ACTIVE_TARIFF) == "1"


async def test_unconnected_phases_get_no_sensors(hass: HomeAssistant, house: House, start: Start) -> None:
    """As in the recorded report of a single-phase Ensor meter."""
    reader = WhatwattSimulator(house)
    await start(reader)
    await set_up(hass, reader)
    payload = (
        '{"P_In":0.015,"P_P1_In":0.015,"P_P2_In":0,"P_P3_In":0,"V_P1":234.01,"V_P2":36.12,"V_P3":36.48,'
        '"I_P1":0.26,"I_P2":0,"I_P3":0,"E_In":190.01}'
    )
    await send(hass, reader, live(payload))
    assert not [m for m in sensors(hass, reader.device_id) if m.endswith(("_l2", "_l3"))]
    assert M.VOLTAGE_L1 in sensors(hass, reader.device_id)


async def test_measurement_that_is_seen_later_gets_its_sensor_without_a_reload(
    hass: HomeAssistant, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    entry = await set_up(hass, reader)
    await send(hass, reader, live('{"P_In":0.4,"P_Out":0,"E_In":1.5,"E_Out":0}'))
    assert M.ACTIVE_ENERGY_EXPORT not in sensors(hass, reader.device_id)
    await send(hass, reader, live('{"P_In":0,"P_Out":0.7,"E_In":1.5,"E_Out":0.001}'))
    assert value(hass, reader.device_id, M.ACTIVE_ENERGY_EXPORT) == "0.001"
    assert value(hass, reader.device_id, M.ACTIVE_POWER_EXPORT) == "700.0"
    await send(hass, reader, live('{"V_P1":230}'))
    assert value(hass, reader.device_id, M.VOLTAGE_L1) == "230"
    assert entry.state is ConfigEntryState.LOADED
    assert reader.stream_count == 1


async def test_measurement_that_is_missing_from_a_reading_keeps_its_value(
    hass: HomeAssistant, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    await set_up(hass, reader)
    await send(hass, reader, live('{"P_In":0.4,"E_In":1.5}'))
    await send(hass, reader, live('{"E_In":1.6}'))
    assert value(hass, reader.device_id, M.ACTIVE_POWER_IMPORT) == "400.0"
    assert value(hass, reader.device_id, M.ACTIVE_ENERGY_IMPORT) == "1.6"


async def test_sensors_of_before_a_restart_are_there_after_it_and_unavailable_until_fresh(
    hass: HomeAssistant, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    entry = await set_up(hass, reader)
    await send(hass, reader, live('{"P_In":0.4,"P_Out":0,"E_In":1.5,"E_Out":0.3}'))
    before = sensors(hass, reader.device_id)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await hass.async_block_till_done()
    assert sensors(hass, reader.device_id) == before
    assert {value(hass, reader.device_id, m) for m in before} == {"unavailable"}
    # A zero by now, which would not have made this sensor.
    await send(hass, reader, live('{"P_In":0.5,"P_Out":0}'))
    assert value(hass, reader.device_id, M.ACTIVE_POWER_EXPORT) == "0.0"
    assert value(hass, reader.device_id, M.ACTIVE_ENERGY_IMPORT) == "unavailable", "not heard of yet"


@pytest.mark.parametrize("tariff", [5, 1.5, -1])
async def test_tariff_that_nobody_knows_is_unknown(
    hass: HomeAssistant, house: House, start: Start, tariff: float
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    await set_up(hass, reader)
    await send(hass, reader, live('{"T":2,"P_In":1}'))
    await reader.broadcast(live('{"T":%s,"P_In":2}' % tariff))  # noqa: UP031 (braces)
    await wait_until(lambda: value(hass, reader.device_id, M.ACTIVE_POWER_IMPORT) == "2000.0")
    assert value(hass, reader.device_id, M.ACTIVE_TARIFF) == "unknown"


async def test_unchanged_value_is_written_again_only_to_stay_reported_within_a_minute(
    hass: HomeAssistant, house: House, start: Start, time_machine: TimeMachine
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    await set_up(hass, reader)
    energy = f"{reader.device_id}_active_energy_import"
    await send(hass, reader, live('{"P_In":0.1,"E_In":1.5}'))
    updated = state_of(hass, "sensor", energy).last_updated
    reported = [updated]
    for second in range(10, 70, 10):
        await time_machine.advance(10)
        await send(hass, reader, live('{"P_In":0.%d,"E_In":1.5}' % second))  # noqa: UP031 (braces)
        if (last := state_of(hass, "sensor", energy).last_reported) != reported[-1]:
            reported.append(last)
    assert len(reported) == 2
    assert state_of(hass, "sensor", energy).last_updated == updated


async def test_reading_repeated_on_connect_is_shown_at_its_true_age(
    hass: HomeAssistant, house: House, start: Start, time_machine: TimeMachine
) -> None:
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    for _ in range(3):
        await reader.tick()
    newest = house.clock
    await reader.advance(40)
    await set_up(hass, reader)
    energy = f"{reader.device_id}_active_energy_export"
    await wait_until(lambda: entity_id(hass, "sensor", energy))
    await hass.async_block_till_done()
    assert house.clock > newest
    assert state_of(hass, "sensor", energy).state != "unavailable"
    await time_machine.advance(21)
    assert state_of(hass, "sensor", energy).state == "unavailable"


async def test_readings_repeated_after_a_reconnect_do_not_turn_time_back(
    hass: HomeAssistant, house: House, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.energy_sse.reader.connection._MIN_WAIT", 0.01)
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    entry = await set_up(hass, reader)
    written: list[float] = []
    for _ in range(5):
        await tick(hass, reader)
    coordinator = entry.runtime_data.coordinator

    @callback
    def note() -> None:
        written.append(coordinator.data.values[M.VOLTAGE_L1])

    entry.async_on_unload(coordinator.async_add_listener(note, M.VOLTAGE_L1))
    await reader.advance(1)
    reader.end_streams()
    await wait_until(lambda: reader.stream_count == 2 and reader.streams)
    await tick(hass, reader)
    assert written == [round(house.voltage[0], 3)]


@pytest.mark.parametrize("firmware", Firmware)
async def test_every_firmware_line_streams(
    hass: HomeAssistant, house: House, start: Start, firmware: Firmware
) -> None:
    reader = WhatwattSimulator(house, firmware=firmware, password="secret")
    await start(reader)
    await set_up(hass, reader)
    await tick(hass, reader)
    assert float(value(hass, reader.device_id, M.ACTIVE_ENERGY_EXPORT)) == reader.live()["E_Out"]
    assert (M.ACTIVE_TARIFF in sensors(hass, reader.device_id)) == (firmware is Firmware.SPARSE)
