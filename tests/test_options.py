"""Options: the menu, the update interval, the supply, and the correction of hours."""

from contextlib import closing, nullcontext
import sqlite3

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import get_instance
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.energy_sse.const import (
    CONF_FILL_MISSED_HOURS,
    CONF_MAIN_FUSE,
    CONF_PHASES,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
)
from custom_components.energy_sse.options_flow import WRITE_INTERVALS
from custom_components.energy_sse.reader import Measurement as M

from .dialogs import change_options, open_options
from .home_assistant import set_up, state_of, tick
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
    # An interval has ended ten seconds after the setup.
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
    result = await change_options(hass, entry, "updates", **{CONF_WRITE_INTERVAL: "30"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {CONF_WRITE_INTERVAL: 30}
    await wait_until(lambda: whatwatt.stream_count == 2)


async def defaults(hass: HomeAssistant, entry: MockConfigEntry, step: str) -> dict[str, object]:
    """Return the values that a form shows."""
    form = await open_options(hass, entry, step)
    assert form["data_schema"] is not None
    shown: dict[str, object] = form["data_schema"]({})
    return shown


@pytest.mark.parametrize("has_sub_meter", [False, True])
async def test_menu_has_the_steps_that_the_reader_needs(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, *, has_sub_meter: bool
) -> None:
    whatwatt.sub_meters = {"20000741": 812.5} if has_sub_meter else {}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await tick(hass, whatwatt)
    menu = await hass.config_entries.options.async_init(entry.entry_id)
    steps = ["updates", "supply", "energy_dashboard", *(["sub_meters"] if has_sub_meter else [])]
    assert (menu["type"], menu["menu_options"]) == (FlowResultType.MENU, steps)
    for step in steps:
        form = await open_options(hass, entry, step)
        assert form["description_placeholders"] is not None
        assert (form["step_id"], form["description_placeholders"]["reader"]) == (step, entry.title)


async def test_step_keeps_the_options_of_other_steps(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    options = {CONF_WRITE_INTERVAL: 30, CONF_SUB_METERS: {"20000741": "gas"}, CONF_MAIN_FUSE: 25}
    hass.config_entries.async_update_entry(entry, options=options)
    await change_options(hass, entry, "energy_dashboard", **{CONF_FILL_MISSED_HOURS: False})
    assert entry.options == {**options, CONF_FILL_MISSED_HOURS: False}
    await change_options(hass, entry, "sub_meters", **{"20000741": "water"})
    assert entry.options[CONF_SUB_METERS] == {"20000741": "water"}
    assert entry.options[CONF_MAIN_FUSE] == 25


async def test_main_fuse_can_be_cleared(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt)
    await change_options(hass, entry, "supply", **{CONF_MAIN_FUSE: 25.0, CONF_PHASES: "1"})
    assert entry.options == {CONF_MAIN_FUSE: 25, CONF_PHASES: "1"}
    assert isinstance(entry.options[CONF_MAIN_FUSE], int)
    form = await open_options(hass, entry, "supply")
    assert form["data_schema"] is not None
    suggested = {
        str(key): (key.description or {}).get("suggested_value") for key in form["data_schema"].schema
    }
    assert suggested[CONF_MAIN_FUSE] == 25
    assert form["data_schema"]({}) == {CONF_PHASES: "1"}
    await change_options(hass, entry, "supply", **{CONF_PHASES: "3"})
    assert entry.options == {CONF_PHASES: "3"}


@pytest.mark.parametrize(("amperes", "is_accepted"), [(5, False), (6, True), (290, True), (291, False)])
async def test_main_fuse_has_limits(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, *, amperes: int, is_accepted: bool
) -> None:
    entry = await set_up(hass, whatwatt)
    form = await open_options(hass, entry, "supply")
    assert form["data_schema"] is not None
    with nullcontext() if is_accepted else pytest.raises(vol.Invalid):
        form["data_schema"]({CONF_MAIN_FUSE: amperes})


async def test_fraction_of_an_ampere_is_an_error_at_its_field(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    result = await change_options(hass, entry, "supply", **{CONF_MAIN_FUSE: 16.5, CONF_PHASES: "1"})
    assert result["errors"] == {CONF_MAIN_FUSE: "not_whole"}
    assert result["data_schema"] is not None
    assert result["data_schema"]({})[CONF_PHASES] == "1"
    assert entry.options == {}


async def database_growth(home: Home) -> dict[str, str]:
    """Return the numbers in the form of the updates; empty if it has none."""
    form = await open_options(home.hass, home.entry, "updates")
    numbers = dict(form["description_placeholders"] or {})
    del numbers["reader"]
    assert form["step_id"] == ("updates" if numbers else "updates_unknown")
    return numbers


@pytest.mark.parametrize("between", [1, 10, 120])
@pytest.mark.parametrize("chosen", [0, 30])
async def test_dialog_shows_the_database_size_per_interval(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, any_reader: Simulator, between: int, chosen: int
) -> None:
    home = Home(hass, freezer, any_reader)
    await home.set_up(chosen)
    for _ in range(max(12, 60 // between)):
        await home.send()
        await home.advance(between)
    numbers = await database_growth(home)
    assert numbers.pop("interval") == str(between)
    megabytes = {each.removeprefix("mb_"): int(number) for each, number in numbers.items()}
    assert list(megabytes) == WRITE_INTERVALS
    same = [each for each in WRITE_INTERVALS if int(each) <= between]
    assert {megabytes[each] for each in same} == {megabytes["0"]}
    sizes = [megabytes["0"], *(megabytes[each] for each in WRITE_INTERVALS if each not in same)]
    assert sizes == sorted(set(sizes), reverse=True)
    # A day has 86,400 readings at most, with about 13 sensors that change.
    assert megabytes["0"] == pytest.approx(190 / between, rel=0.5)


async def test_dialog_omits_an_unknown_database_size(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, currentlyone: CurrentlyOneSimulator
) -> None:
    home = Home(hass, freezer, currentlyone)
    home.entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until(lambda: currentlyone.streams)
    await home.send()
    assert await database_growth(home) == {}, "one reading has no interval"
    for _ in range(3):
        await home.advance(10)
        await home.send()
    assert (await database_growth(home))["interval"] == "10"
    await home.advance(30)
    assert await database_growth(home) == {}, "no sensor has changed"
    await currentlyone.stop()
    await home.advance(301)
    assert await database_growth(home) == {}
    await hass.config_entries.async_unload(home.entry.entry_id)
    assert await database_growth(home) == {}
    result = await change_options(hass, home.entry, "updates", **{CONF_WRITE_INTERVAL: "30"})
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.usefixtures("recorder_mock")
@pytest.mark.parametrize("interval", [0, 30])
@pytest.mark.parametrize("persistent_database", [True])
async def test_shown_database_size_matches_the_recorder(
    recorder_db_url: str,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    any_reader: Simulator,
    interval: int,
) -> None:
    async def size() -> int:
        await get_instance(hass).async_block_till_done()
        with closing(sqlite3.connect(recorder_db_url.removeprefix("sqlite:///"))) as database:
            # The free pages will be filled by the next states.
            used: tuple[int] = database.execute(
                "SELECT (page_count - freelist_count) * page_size"
                " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            ).fetchone()
        return used[0]

    home = Home(hass, freezer, any_reader)
    home.changes_marker = False
    # Appliances are removed, because their states do not depend on the update interval.
    any_reader.house.appliances.clear()
    await home.set_up(interval)
    before = await size()
    for _ in range(180):
        await home.send()
        await home.advance(10)
    shown = int((await database_growth(home))[f"mb_{interval}"])
    measured = (await size() - before) * 48 / 1e6
    assert measured / 1.5 <= shown <= measured * 1.5


@pytest.mark.parametrize(("options", "shown"), [({}, "0"), ({CONF_WRITE_INTERVAL: 5}, "5")])
async def test_dialog_shows_the_current_interval(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, options: dict[str, int], shown: str
) -> None:
    entry = await set_up(hass, whatwatt)
    hass.config_entries.async_update_entry(entry, options=options)
    assert (await defaults(hass, entry, "updates"))[CONF_WRITE_INTERVAL] == shown


async def test_correction_of_hours_is_on_by_default(hass: HomeAssistant, any_reader: Simulator) -> None:
    entry = await set_up(hass, any_reader)
    assert (await defaults(hass, entry, "energy_dashboard"))[CONF_FILL_MISSED_HOURS] is True
    await change_options(hass, entry, "energy_dashboard", **{CONF_FILL_MISSED_HOURS: False})
    assert entry.options[CONF_FILL_MISSED_HOURS] is False
    # The previous stream can still be open.
    await wait_until(lambda: any_reader.stream_count > 1 and entry.state is ConfigEntryState.LOADED)
    assert (await defaults(hass, entry, "energy_dashboard"))[CONF_FILL_MISSED_HOURS] is False
