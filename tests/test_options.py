"""Options: the update interval, and the correction of hours."""

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, CONF_SUB_METERS, CONF_WRITE_INTERVAL
from custom_components.energy_sse.reader import Measurement as M

from .home_assistant import set_up, state_of
from .simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator
from .test_update_interval import Home
from .wait import wait_until

pytestmark = pytest.mark.smoke


@pytest.fixture
async def home(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, currentlyone: CurrentlyOneSimulator
) -> Home:
    """Return a home whose first minute ends half a minute before a quarter-hour does."""
    home = Home(hass, freezer, currentlyone, begin="11:28:30")
    await home.set_up(60)
    return home


async def test_quarter_hour_ends_with_its_last_reading(home: Home) -> None:
    # An interval has ended ten seconds after the set-up.
    await home.advance(15)
    await home.send()
    await home.advance(5)
    assert float(home.shown(M.ACTIVE_ENERGY_EXPORT)) < home.energy, "it is held back"
    await home.advance(10)
    assert float(home.shown(M.ACTIVE_ENERGY_EXPORT)) == home.energy
    # The first reading of the next quarter-hour is written at once.
    await home.send()
    assert home.shown() == home.value


async def test_outage_and_its_end_are_written_at_once(home: Home) -> None:
    await home.advance(120)
    assert home.shown() == "unavailable"
    await home.send()
    assert home.shown() == home.value


async def test_transition_is_written_at_once(home: Home) -> None:
    await home.send_burst()
    for state, event_type in (("on", "turned_on"), ("off", "turned_off")):
        await home.reader.switch("mocca_mast", state)
        await home.advance(1)
        event = state_of(home.hass, "event", f"{home.reader.device_id}:mocca_mast:transition")
        assert event.attributes["event_type"] == event_type


async def test_changed_options_take_effect_at_once(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "init")
    result = await hass.config_entries.options.async_configure(flow["flow_id"], {CONF_WRITE_INTERVAL: "30"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {CONF_WRITE_INTERVAL: 30, CONF_FILL_MISSED_HOURS: True, CONF_SUB_METERS: {}}
    await wait_until(lambda: whatwatt.stream_count == 2)


async def defaults(hass: HomeAssistant, entry_id: str) -> dict[str, object]:
    """Return the values that the dialog shows."""
    flow = await hass.config_entries.options.async_init(entry_id)
    assert flow["data_schema"] is not None
    shown: dict[str, object] = flow["data_schema"]({})
    return shown


@pytest.mark.parametrize(("options", "shown"), [({}, "0"), ({CONF_WRITE_INTERVAL: 5}, "5")])
async def test_dialog_shows_the_current_interval(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, options: dict[str, int], shown: str
) -> None:
    entry = await set_up(hass, whatwatt)
    hass.config_entries.async_update_entry(entry, options=options)
    assert (await defaults(hass, entry.entry_id))[CONF_WRITE_INTERVAL] == shown


async def test_correction_of_hours_is_on_by_default(hass: HomeAssistant, any_reader: Simulator) -> None:
    entry = await set_up(hass, any_reader)
    assert (await defaults(hass, entry.entry_id))[CONF_FILL_MISSED_HOURS] is True
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    choice = {CONF_WRITE_INTERVAL: "0", CONF_FILL_MISSED_HOURS: False}
    await hass.config_entries.options.async_configure(flow["flow_id"], choice)
    assert entry.options[CONF_FILL_MISSED_HOURS] is False
    # The previous stream can still be open.
    await wait_until(lambda: any_reader.stream_count > 1 and entry.state is ConfigEntryState.LOADED)
    assert (await defaults(hass, entry.entry_id))[CONF_FILL_MISSED_HOURS] is False
