"""Writing less often, for people with small databases."""

from datetime import timedelta

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.energy_sse import coordinator
from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, CONF_SUB_METERS, CONF_WRITE_INTERVAL

from .home_assistant import entry_for, set_up, settle, state_of, tick
from .simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

VOLTAGE = "b8b41879cf58_voltage_l1"
ENERGY = "b8b41879cf58_active_energy_export"


class Written:
    """Notes what a reader's sensors write."""

    def __init__(self, hass: HomeAssistant, reader: CurrentlyOneSimulator) -> None:
        self.reader = reader
        self._hass = hass

    def by(self, unique_id: str) -> list[str]:
        """Return a list that fills with the states of a sensor from now on."""
        states: list[str] = []

        @callback
        def changed(event: Event[EventStateChangedData]) -> None:
            assert event.data["new_state"] is not None
            states.append(event.data["new_state"].state)

        sensor = state_of(self._hass, "sensor", unique_id).entity_id
        async_track_state_change_event(self._hass, sensor, changed)
        return states


@pytest.fixture
def written(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> Written:
    return Written(hass, currentlyone)


async def test_every_reading_is_written_where_nobody_has_chosen_before_there_was_a_default(
    hass: HomeAssistant, written: Written, time_machine: TimeMachine
) -> None:
    await set_up(hass, written.reader)
    await tick(hass, written.reader)
    voltages = written.by(VOLTAGE)
    for _ in range(5):
        await time_machine.advance(1)
        await tick(hass, written.reader, 1)
    assert len(voltages) == 5


@pytest.mark.parametrize(("interval", "writes"), [(5, 8), (10, 4), (30, 2), (60, 1)])
async def test_sensors_are_written_at_most_as_often_as_chosen_and_then_with_the_latest_value(
    hass: HomeAssistant,
    written: Written,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
    *,
    interval: int,
    writes: int,
) -> None:
    # A quarter of an hour may end while this runs.
    monkeypatch.setattr(coordinator, "async_track_utc_time_change", lambda *_args, **_times: lambda: None)
    reader = written.reader
    await set_up_with(hass, reader, interval)
    await tick(hass, reader)
    voltages = written.by(VOLTAGE)
    latest: list[float] = []
    for _ in range(42):
        await time_machine.advance(1)
        # At the end of an interval, the last value is written.
        latest += [round(reader.house.voltage[0], 3)] * (len(voltages) - len(latest))
        await tick(hass, reader, 1)
        latest += [round(reader.house.voltage[0], 3)] * (len(voltages) - len(latest))
    assert [float(voltage) for voltage in voltages] == latest
    # The first reading makes the sensor, the second one begins the first interval.
    assert len(voltages) in (writes, writes + 1)


async def test_meter_that_speaks_as_often_as_is_written_is_written_with_every_reading(
    hass: HomeAssistant, written: Written, time_machine: TimeMachine
) -> None:
    reader = written.reader
    await set_up_with(hass, reader, 5)
    await tick(hass, reader)
    voltages = written.by(VOLTAGE)
    for early_or_late in (0, -0.2, 0.2, -0.2, 0.2):
        await time_machine.advance(5 + early_or_late)
        await tick(hass, reader, 5)
    await time_machine.advance(0.5)
    assert len(voltages) == 5


async def test_silence_and_its_end_are_written_at_once(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    power = f"{whatwatt.device_id}_active_power_net"
    await set_up_with(hass, whatwatt, 300)
    await tick(hass, whatwatt)
    await tick(hass, whatwatt)
    await time_machine.advance(120)
    assert state_of(hass, "sensor", power).state == "unavailable"
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", power).state != "unavailable"


async def set_up_with(hass: HomeAssistant, reader: Simulator, interval: int) -> None:
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(
        entry, options={CONF_WRITE_INTERVAL: interval, CONF_SUB_METERS: {}}
    )
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: reader.streams)


async def test_hour_ends_with_the_last_reading_of_it_written(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    await set_up_with(hass, currentlyone, 60)
    for _ in range(3):
        await tick(hass, currentlyone)
        await time_machine.advance(10)
    energy = int(sum(currentlyone.house.active_export.values())) / 1000
    assert float(state_of(hass, "sensor", ENERGY).state) < energy, "not written yet"
    now = dt_util.utcnow()
    end = now.replace(minute=59, second=59, microsecond=0)
    async_fire_time_changed(hass, end if end > now else end + timedelta(hours=1))
    await hass.async_block_till_done()
    assert float(state_of(hass, "sensor", ENERGY).state) == energy


async def test_first_reading_of_the_new_hour_is_written_at_once(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    await set_up_with(hass, currentlyone, 60)
    (entry,) = hass.config_entries.async_entries("energy_sse")
    for _ in range(3):
        await tick(hass, currentlyone)
    entry.runtime_data.coordinator._handle_quarter_end(dt_util.utcnow())  # noqa: SLF001 (without other timers)
    await tick(hass, currentlyone)
    energy = int(sum(currentlyone.house.active_export.values())) / 1000
    assert float(state_of(hass, "sensor", ENERGY).state) == energy


async def test_transition_is_told_at_once(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> None:
    await set_up_with(hass, currentlyone, 60)
    (entry,) = hass.config_entries.async_entries("energy_sse")
    await currentlyone.tick()
    await currentlyone.tick()
    await currentlyone.switch("mocca_mast", "on")
    unique_id = "b8b41879cf58:mocca_mast:transition"
    await wait_until(lambda: hass.states.async_all("event"))
    await wait_until(lambda: state_of(hass, "event", unique_id).attributes.get("event_type") == "turned_on")
    await settle(hass, entry, currentlyone)


async def test_change_of_the_options_takes_effect_at_once(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "init")
    result = await hass.config_entries.options.async_configure(flow["flow_id"], {CONF_WRITE_INTERVAL: "30"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {CONF_WRITE_INTERVAL: 30, CONF_FILL_MISSED_HOURS: True, CONF_SUB_METERS: {}}
    await wait_until(lambda: whatwatt.stream_count == 2)


@pytest.mark.parametrize(("options", "shown"), [({}, "0"), ({CONF_WRITE_INTERVAL: 5}, "5")])
async def test_dialog_shows_what_holds_before_and_since_there_is_a_default(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, options: dict[str, int], shown: str
) -> None:
    entry = await set_up(hass, whatwatt)
    hass.config_entries.async_update_entry(entry, options=options)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    assert flow["data_schema"]({})[CONF_WRITE_INTERVAL] == shown


async def test_correction_of_hours_is_on_until_the_user_turns_it_off(
    hass: HomeAssistant, any_reader: Simulator
) -> None:
    entry = await set_up(hass, any_reader)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    assert flow["data_schema"]({CONF_WRITE_INTERVAL: "0"})[CONF_FILL_MISSED_HOURS] is True
    await hass.config_entries.options.async_configure(
        flow["flow_id"], {CONF_WRITE_INTERVAL: "0", CONF_FILL_MISSED_HOURS: False}
    )
    assert entry.options[CONF_FILL_MISSED_HOURS] is False
    # The stream of before may still be there.
    await wait_until(lambda: any_reader.stream_count > 1 and entry.state is ConfigEntryState.LOADED)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    assert flow["data_schema"]({CONF_WRITE_INTERVAL: "0"})[CONF_FILL_MISSED_HOURS] is False
