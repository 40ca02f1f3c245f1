"""Sensors of the measurements."""

from functools import partial

from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import READERS, Measurement as M, currentlyone

from .conftest import Start
from .home_assistant import entity_id, entry_for, reload, set_up, state_of, tick
from .simulators import CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .simulators.whatwatt import Firmware
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

# Measurements that a simulated house does not have: two quadrants, and for most kinds the clock of the meter.
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


async def send(hass: HomeAssistant, reader: WhatwattSimulator, **values: float) -> None:
    """Send values and one more event, and wait until they have been processed."""
    (entry,) = hass.config_entries.async_entries("energy_sse")
    number = int(entry.runtime_data.coordinator.data.values.get(M.ACTIVE_TARIFF, 0)) + 1000
    await reader.send_values(values)
    await reader.send_values({"T": number})
    await wait_until(lambda: entry.runtime_data.coordinator.data.values.get(M.ACTIVE_TARIFF) == number)
    await hass.async_block_till_done()


async def test_each_measurement_has_its_sensor(
    hass: HomeAssistant,
    any_reader: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The house's clock jumps from noon to night.
    monkeypatch.setattr(currentlyone, "_REPLAY_DURATION", 0)
    await set_up(hass, any_reader, options={"main_fuse": 25, "phases": "3"})
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


async def test_values_have_the_units_of_a_household(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    payload = whatwatt.live()

    def shown(measurement: M) -> float:
        return float(value(hass, whatwatt.device_id, measurement))

    assert shown(M.ACTIVE_POWER_EXPORT) == pytest.approx(payload["P_Out"] * 1000)
    assert shown(M.ACTIVE_ENERGY_IMPORT) == payload["E_In"]
    assert shown(M.VOLTAGE_L2) == payload["V_P2"]
    assert shown(M.CURRENT_L3) == payload["I_P3"]
    assert value(hass, whatwatt.device_id, M.ACTIVE_TARIFF) == "1"


# Measurements and units that a meter of the type "Home Assistant" in evcc needs. A current gets its sign from
# the power of its phase.
EVCC = {
    M.ACTIVE_POWER_NET: "W",
    **dict.fromkeys((M.ACTIVE_POWER_NET_L1, M.ACTIVE_POWER_NET_L2, M.ACTIVE_POWER_NET_L3), "W"),
    **dict.fromkeys((M.CURRENT_L1, M.CURRENT_L2, M.CURRENT_L3), "A"),
    M.ACTIVE_ENERGY_IMPORT: "kWh",
    M.ACTIVE_ENERGY_EXPORT: "kWh",
    **dict.fromkeys((M.VOLTAGE_L1, M.VOLTAGE_L2, M.VOLTAGE_L3), "V"),
}


async def test_units_and_signs_are_those_of_evcc(hass: HomeAssistant, any_reader: Simulator) -> None:
    await set_up(hass, any_reader)
    await tick(hass, any_reader)
    for measurement in EVCC.keys() & READERS[any_reader.kind].units.keys():
        attributes = state_of(hass, "sensor", f"{any_reader.device_id}_{measurement}").attributes
        assert attributes["unit_of_measurement"] == EVCC[measurement]
    power = float(value(hass, any_reader.device_id, M.ACTIVE_POWER_NET))
    assert power == pytest.approx(any_reader.house.net_power, abs=1)
    assert power < 0, "export is negative"
    phases = (M.ACTIVE_POWER_NET_L1, M.ACTIVE_POWER_NET_L2, M.ACTIVE_POWER_NET_L3)
    powers = [float(value(hass, any_reader.device_id, phase)) for phase in phases]
    assert sum(powers) == pytest.approx(power, abs=3), "they have signs, too"


async def test_unconnected_phases_have_no_sensors(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    """The values are those of a recorded single-phase Ensor meter."""
    await set_up(hass, whatwatt)
    powers = {"P_In": 0.015, "P_P1_In": 0.015, "P_P2_In": 0, "P_P3_In": 0, "E_In": 190.01}
    voltages = {"V_P1": 234.01, "V_P2": 36.12, "V_P3": 36.48, "I_P1": 0.26, "I_P2": 0, "I_P3": 0}
    await send(hass, whatwatt, **powers, **voltages)
    assert not [m for m in sensors(hass, whatwatt.device_id) if m.endswith(("_l2", "_l3"))]
    assert M.VOLTAGE_L1 in sensors(hass, whatwatt.device_id)


async def test_sensor_is_added_with_its_first_value(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, P_In=0.4, P_Out=0, E_In=1.5, E_Out=0)
    assert M.ACTIVE_ENERGY_EXPORT not in sensors(hass, whatwatt.device_id)
    await send(hass, whatwatt, P_In=0, P_Out=0.7, E_In=1.5, E_Out=0.001)
    assert value(hass, whatwatt.device_id, M.ACTIVE_ENERGY_EXPORT) == "0.001"
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_EXPORT) == "700.0"
    # A measurement that is missing in a reading keeps its value.
    await send(hass, whatwatt, V_P1=230)
    assert value(hass, whatwatt.device_id, M.VOLTAGE_L1) == "230"
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_EXPORT) == "700.0"
    assert whatwatt.stream_count == 1


async def test_sensors_are_unavailable_after_a_restart_until_received(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, P_In=0.4, P_Out=0, E_In=1.5, E_Out=0.3)
    before = sensors(hass, whatwatt.device_id)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    await hass.async_block_till_done()
    assert sensors(hass, whatwatt.device_id) == before
    assert {value(hass, whatwatt.device_id, m) for m in before} == {"unavailable"}
    # A first value of zero would not add this sensor.
    await send(hass, whatwatt, P_In=0.5, P_Out=0)
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_EXPORT) == "0.0"
    assert value(hass, whatwatt.device_id, M.ACTIVE_ENERGY_IMPORT) == "unavailable", "it was not received"


async def test_net_power_is_of_separate_readings(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, P_Out=0.9)
    assert entity_id(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_NET}") is None
    await send(hass, whatwatt, P_In=0)
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_NET) == "-900.0"
    await send(hass, whatwatt, P_Out=1.1)
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_NET) == "-1100.0"


@pytest.mark.parametrize(("key", "net"), [("P_In", "500.0"), ("P_Out", "-500.0")])
async def test_net_power_has_one_direction_if_the_meter_does(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine, key: str, net: str
) -> None:
    await set_up(hass, whatwatt)
    for _ in range(7):
        await send(hass, whatwatt, **{key: 0.4})
        assert entity_id(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_NET}") is None
        await time_machine.advance(9)
    await send(hass, whatwatt, **{key: 0.5})
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_NET) == net


async def test_net_power_of_phases_has_a_sign(hass: HomeAssistant, any_reader: Simulator) -> None:
    await set_up(hass, any_reader)
    any_reader.house.switch("heat_pump", "off")
    await tick(hass, any_reader)
    any_reader.house.switch("heat_pump", "Active")
    await any_reader.send_reading()
    net = f"{any_reader.device_id}_{M.ACTIVE_POWER_NET_L3}"
    await wait_until(lambda: float(state_of(hass, "sensor", net).state) > 0)
    for phase, measurement in enumerate((M.ACTIVE_POWER_NET_L1, M.ACTIVE_POWER_NET_L2)):
        power = any_reader.house.power[phase]
        assert power < 0, "it is noon"
        assert float(value(hass, any_reader.device_id, measurement)) == pytest.approx(power, abs=1)


async def test_new_readers_have_net_power_of_phases_enabled(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, entity_registry: er.EntityRegistry
) -> None:
    """Keep the halves of an earlier installation enabled."""
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    old = entity_registry.async_get_or_create(
        "sensor", DOMAIN, f"{whatwatt.device_id}_{M.ACTIVE_POWER_EXPORT_L1}", config_entry=entry
    )
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", old.unique_id).state == str(whatwatt.live()["P_P1_Out"])
    net = state_of(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_NET_L1}")
    assert net.state == str(-1000 * whatwatt.live()["P_P1_Out"])
    new = entity_id(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_EXPORT_L2}")
    assert new is not None
    assert hass.states.get(new) is None


def is_received(entry: MockConfigEntry, measurement: M, number: float) -> bool:
    """Return whether a value has been received."""
    return bool(entry.runtime_data.coordinator.data.values.get(measurement) == number)


def availability(hass: HomeAssistant, reader: Simulator, *measurements: M) -> list[bool]:
    """Return which measurements are available."""
    return [value(hass, reader.device_id, each) != "unavailable" for each in measurements]


async def test_value_expires_while_others_are_received(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, whatwatt)
    powers = (M.ACTIVE_POWER_EXPORT, M.ACTIVE_POWER_IMPORT, M.ACTIVE_POWER_NET)
    await send(hass, whatwatt, P_In=1.2, P_Out=0.1, E_Out=5)
    for _ in range(5):
        await time_machine.advance(10)
        assert availability(hass, whatwatt, *powers) == [True, True, True]
        await send(hass, whatwatt, P_Out=0.2)
    await time_machine.advance(11)
    assert availability(hass, whatwatt, *powers) == [True, False, False]
    await send(hass, whatwatt, P_In=0)
    assert value(hass, whatwatt.device_id, M.ACTIVE_POWER_NET) == "-200.0"


async def test_value_from_before_an_outage_stays_unavailable(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, P_In=1.2, V_P1=230)
    whatwatt.stop_meter()
    await time_machine.advance(3600)
    await send(hass, whatwatt, P_In=0.4)
    assert availability(hass, whatwatt, M.ACTIVE_POWER_IMPORT, M.VOLTAGE_L1) == [True, False]


async def test_register_stays_valid_between_its_own_readings(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, P_In=0.4, E_In=7, V_P1=230)
    measured = (M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_POWER_IMPORT, M.VOLTAGE_L1)
    for _ in range(107):
        await time_machine.advance(50)
        await send(hass, whatwatt, P_In=0.4)
    assert availability(hass, whatwatt, *measured) == [True, True, False]
    await time_machine.advance(50)
    assert availability(hass, whatwatt, *measured) == [False, True, False]


@pytest.mark.usefixtures("every_entity_enabled")
async def test_values_of_the_port_expire_while_the_blink_sensor_sends(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    currentlyone.mode = "H+B"
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    port = (M.ACTIVE_POWER_NET, M.ACTIVE_POWER_NET_L1, M.VOLTAGE_L1, M.ACTIVE_ENERGY_IMPORT)
    for watts in range(500, 507):
        await time_machine.advance(10)
        await currentlyone.broadcast(currentlyone.encode(f'{{"m":"BLINK","bW":{watts}}}'))
        await wait_until(partial(is_received, entry, M.BLINK_POWER, watts))
    assert availability(hass, currentlyone, M.BLINK_POWER, *port[:3]) == [True, False, False, False]
    await tick(hass, currentlyone)
    assert availability(hass, currentlyone, M.BLINK_POWER, *port) == [True] * 5


# ----------------------------------------------------------------------------------------------- headroom


PHASES = {"I_P1": 10, "P_P1_In": 2.3, "I_P2": 16, "P_P2_Out": 3.68, "P_P2_In": 0, "I_P3": 0, "P_In": 1}


async def test_headroom_follows_from_the_main_fuse(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt, options={"main_fuse": 25, "phases": "3"})
    await send(hass, whatwatt, **PHASES)
    headroom = state_of(hass, "sensor", f"{whatwatt.device_id}_{M.HEADROOM_L1}")
    assert (headroom.state, headroom.attributes["unit_of_measurement"]) == ("15.0", "A")
    assert value(hass, whatwatt.device_id, M.HEADROOM_L2) == "41.0"
    assert M.HEADROOM_L3 not in sensors(hass, whatwatt.device_id), "the phase is not connected"
    for supply, expected in (
        ({"main_fuse": 16, "phases": "1"}, {M.HEADROOM_L1}),
        ({}, set()),
    ):
        hass.config_entries.async_update_entry(entry, options=supply)
        await reload(hass, entry, whatwatt)
        await send(hass, whatwatt, **PHASES)
        headrooms = {each for each in sensors(hass, whatwatt.device_id) if each.startswith("headroom")}
        assert headrooms == expected
        if expected:
            assert value(hass, whatwatt.device_id, M.HEADROOM_L1) == "6.0"


@pytest.mark.parametrize("tariff", [5, 1.5, -1])
async def test_undocumented_tariff_is_unknown(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, tariff: float
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, T=2, P_In=1)
    await whatwatt.send_values({"T": tariff, "P_In": 2})
    await wait_until(lambda: value(hass, whatwatt.device_id, M.ACTIVE_POWER_IMPORT) == "2000.0")
    assert value(hass, whatwatt.device_id, M.ACTIVE_TARIFF) == "unknown"


async def test_unchanged_value_is_reported_once_a_minute(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, whatwatt)
    energy = f"{whatwatt.device_id}_active_energy_import"
    await send(hass, whatwatt, P_In=0.1, E_In=1.5)
    updated = state_of(hass, "sensor", energy).last_updated
    reported = [updated]
    for second in range(10, 70, 10):
        await time_machine.advance(10)
        await send(hass, whatwatt, P_In=second / 100, E_In=1.5)
        if (last := state_of(hass, "sensor", energy).last_reported) != reported[-1]:
            reported.append(last)
    assert len(reported) == 2
    assert state_of(hass, "sensor", energy).last_updated == updated


async def test_replayed_reading_has_its_age(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    for _ in range(3):
        await currentlyone.tick()
    await currentlyone.advance(40)
    await set_up(hass, currentlyone)
    energy = f"{currentlyone.device_id}_active_energy_export"
    await wait_until(lambda: entity_id(hass, "sensor", energy))
    await hass.async_block_till_done()
    assert state_of(hass, "sensor", energy).state != "unavailable"
    await time_machine.advance(21)
    assert state_of(hass, "sensor", energy).state == "unavailable"


async def test_replay_after_a_reconnect_is_not_written(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.energy_sse.reader.connection._MIN_WAIT", 0.01)
    await set_up(hass, currentlyone)
    for _ in range(5):
        await tick(hass, currentlyone)
    voltage = state_of(hass, "sensor", f"{currentlyone.device_id}_voltage_l1").entity_id
    changes = async_capture_events(hass, EVENT_STATE_CHANGED)
    await currentlyone.advance(1)
    currentlyone.end_streams()
    await wait_until(lambda: currentlyone.stream_count == 2 and currentlyone.streams)
    await tick(hass, currentlyone)
    states = [event.data["new_state"].state for event in changes if event.data["entity_id"] == voltage]
    assert states == [str(round(currentlyone.house.voltage[0], 3))]


@pytest.mark.parametrize("firmware", Firmware)
async def test_each_firmware_streams(
    hass: HomeAssistant, house: House, start: Start, firmware: Firmware
) -> None:
    reader = await start(WhatwattSimulator(house, firmware=firmware, password="secret"))
    await set_up(hass, reader)
    await tick(hass, reader)
    assert float(value(hass, reader.device_id, M.ACTIVE_ENERGY_EXPORT)) == reader.live()["E_Out"]
    assert (M.ACTIVE_TARIFF in sensors(hass, reader.device_id)) == (firmware is Firmware.SPARSE)
