"""Appliances of a CurrentlyOne: whether they run, what they use, and how they come and go."""

from datetime import UTC, datetime, timedelta
import json
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.appliances import Appliance as KnownAppliance, Appliances
from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import (
    ApplianceProfile,
    ApplianceState,
    Detection,
    Transition,
    connection,
)

from .home_assistant import entity_id, set_up, settle, state_of
from .simulators import CurrentlyOneSimulator
from .simulators.house import Appliance, State
from .time_machine import TimeMachine
from .wait import wait_until

READER = "b8b41879cf58"


@pytest.fixture
def reader(currentlyone: CurrentlyOneSimulator) -> CurrentlyOneSimulator:
    return currentlyone


def shown(hass: HomeAssistant, appliance: str, key: str) -> str:
    platform = {"running": "binary_sensor", "transition": "event"}.get(key, "sensor")
    return state_of(hass, platform, f"{READER}:{appliance}:{key}").state


async def restart(hass: HomeAssistant, entry: MockConfigEntry, reader: CurrentlyOneSimulator) -> None:
    count = reader.stream_count
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.stream_count > count and reader.streams)
    await hass.async_block_till_done()


async def test_transition_tells_whether_it_runs_and_what_it_uses(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "unknown"
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "on"
    assert shown(hass, "mocca_mast", "power") == "1450"
    assert shown(hass, "mocca_mast", "energy") == "0.0"
    await reader.tick(20)
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "off"
    assert shown(hass, "mocca_mast", "power") == "0"
    assert shown(hass, "mocca_mast", "energy") == "0.008"
    energy = state_of(hass, "sensor", f"{READER}:mocca_mast:energy").attributes
    assert (energy["device_class"], energy["state_class"]) == ("energy", "total_increasing")
    assert energy["unit_of_measurement"] == "kWh"


async def test_only_an_appliance_with_many_states_tells_their_names(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("dishwasher", "heating")
    await settle(hass, entry, reader)
    assert shown(hass, "dishwasher", "state") == "heating"
    assert entity_id(hass, "sensor", f"{READER}:mocca_mast:state") is None


async def test_name_of_a_state_shows_with_the_third_state_where_there_is_no_inventory(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    await reader.switch("dishwasher", "washing")
    await reader.switch("dishwasher", "off")
    await settle(hass, entry, reader)
    assert entity_id(hass, "sensor", f"{READER}:dishwasher:state") is None
    await reader.switch("dishwasher", "heating")
    await settle(hass, entry, reader)
    assert shown(hass, "dishwasher", "state") == "heating"


async def send_detection(reader: CurrentlyOneSimulator, appliance: str, index: int, energy: int) -> None:
    """Send a detection without the transition, as old firmware does."""
    sec = int(reader.house.clock.timestamp())
    detected = f'{{"id":"{appliance}","to":{index},"algo":0,"Wh":{energy}}}'
    await reader.broadcast(
        f'event: state\r\ndata: {{"m":"ALL","sec":{sec},"detected":[{detected}]}}\r\n\r\n'.encode()
    )


async def test_detection_is_on_or_off_only_when_the_inventory_tells(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    """Position 0 of this heat pump is "Active"."""
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    await send_detection(reader, "heat_pump", 0, 500)
    await settle(hass, entry, reader)
    assert shown(hass, "heat_pump", "running") == "unknown"
    assert shown(hass, "heat_pump", "energy") == "0.5"
    reader.has_inventory = True
    await restart(hass, entry, reader)
    await send_detection(reader, "heat_pump", 0, 501)
    await settle(hass, entry, reader)
    assert shown(hass, "heat_pump", "running") == "on"
    assert shown(hass, "heat_pump", "power") == "1900"
    assert shown(hass, "heat_pump", "energy") == "0.501"


async def test_detection_alone_is_an_event_when_it_is_a_change(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await send_detection(reader, "mocca_mast", 0, 500)
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "transition") == "unknown", "nobody knows what it was before"
    await reader.tick(20)
    await send_detection(reader, "mocca_mast", 1, 500)
    await settle(hass, entry, reader)
    event = state_of(hass, "event", f"{READER}:mocca_mast:transition")
    assert event.attributes["event_type"] == "turned_on"
    await reader.tick(20)
    await send_detection(reader, "mocca_mast", 1, 501)
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "transition") == event.state, "it was on already"


@pytest.mark.parametrize("index", [-1, 2, 99])
async def test_detection_of_a_state_that_the_inventory_does_not_have_is_only_energy(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, index: int
) -> None:
    entry = await set_up(hass, reader)
    await send_detection(reader, "mocca_mast", index, 700)
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "unknown"
    assert shown(hass, "mocca_mast", "energy") == "0.7"


@pytest.mark.parametrize("detection_first", [False, True])
@pytest.mark.parametrize("seconds_apart", [0, 1])
async def test_transition_and_detection_of_one_change_are_one_event(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, *, detection_first: bool, seconds_apart: int
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "off")
    await reader.tick(10)
    await settle(hass, entry, reader)
    fired: list[str] = []
    hass.bus.async_listen(
        "state_changed",
        lambda event: (
            fired.append(event.data["new_state"].attributes.get("event_type"))
            if event.data["entity_id"] == "event.mocca_master_transition"
            else None
        ),
    )
    second = int(reader.house.clock.timestamp())
    transition = (
        f'event: transition\r\ndata: {{"id":"mocca_mast","bs":"ON","sName":"on","from":"off","W":1450,'
        f'"Wh":9,"sec":{second}}}\r\n\r\n'
    )
    detection = (
        f'event: state\r\ndata: {{"m":"ALL","sec":{second + seconds_apart},'
        f'"detected":[{{"id":"mocca_mast","to":1,"Wh":9}}]}}\r\n\r\n'
    )
    both = detection + transition if detection_first else transition + detection
    await reader.broadcast(both.encode())
    await settle(hass, entry, reader)
    await wait_until(lambda: fired)
    await hass.async_block_till_done()
    assert fired == ["turned_on"]


async def test_state_of_before_a_restart_holds_until_the_reader_speaks(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    await reader.switch("dishwasher", "washing")
    await reader.switch("dishwasher", "off")
    await reader.switch("dishwasher", "heating")
    await settle(hass, entry, reader)
    reader._detected.clear()  # noqa: SLF001 (a device that forgot all with its own restart)
    # Home Assistant stops while the reader is away: the last state is "unavailable".
    port = reader.port
    await reader.stop()
    await time_machine.advance(120)
    assert shown(hass, "dishwasher", "running") == "unavailable"
    await reader.start(port)
    await restart(hass, entry, reader)
    assert shown(hass, "dishwasher", "running") == "on"
    assert shown(hass, "dishwasher", "power") == "2100"
    assert shown(hass, "dishwasher", "energy") == "0.0"
    await reader.switch("dishwasher", "off")
    await settle(hass, entry, reader)
    assert shown(hass, "dishwasher", "running") == "off"
    assert shown(hass, "dishwasher", "power") == "0"


async def test_state_that_the_reader_repeats_on_connect_beats_the_one_of_before_the_restart(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    await hass.config_entries.async_unload(entry.entry_id)
    await reader.switch("mocca_mast", "off")
    await reader.advance(90)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "off"
    assert state_of(hass, "event", f"{READER}:mocca_mast:transition").attributes["event_type"] == "turned_on"


async def test_older_report_that_is_repeated_changes_nothing(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    old = dict(reader._detected)  # noqa: SLF001 (what it repeats)
    await reader.advance(60)
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    reader._detected.update(old)  # noqa: SLF001
    await reader.advance(60)
    reader.end_streams()
    await wait_until(lambda: reader.stream_count == 2 and reader.streams)
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "off"


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("has_inventory", [False, True])
async def test_zero_between_two_energies_of_an_appliance_is_never_shown(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, *, restarts: bool, has_inventory: bool
) -> None:
    reader.has_inventory = has_inventory
    entry = await set_up(hass, reader)
    shown_energies = []
    for energy in (500_000, 0, 500_001):
        await send_detection(reader, "mocca_mast", 1, energy)
        await settle(hass, entry, reader)
        shown_energies.append(shown(hass, "mocca_mast", "energy"))
        if restarts:
            await restart(hass, entry, reader)
    assert shown_energies == ["500.0", "500.0", "500.001"]


async def test_event_tells_no_energy_that_cannot_be(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    energies = []
    for state, energy in (("off", 500_000), ("on", 900_000), ("off", 500_020)):
        data = f'{{"id":"mocca_mast","bs":"{state.upper()}","sName":"{state}","from":"x","Wh":{energy}'
        data += f',"sec":{int(reader.house.clock.timestamp())}}}'
        await reader.broadcast(f"event: transition\r\ndata: {data}\r\n\r\n".encode())
        await settle(hass, entry, reader)
        energies.append(state_of(hass, "event", f"{READER}:mocca_mast:transition").attributes["energy"])
    assert energies == [500_000, None, 500_020]


def test_appliance_that_counts_from_zero_again_is_believed() -> None:
    appliance = KnownAppliance("kettle", "Kettle")
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    energies = []
    for n, energy in enumerate((5000, 0, 0, 10, 20, 30, 40, 50)):
        appliance.detect(Detection(appliance_id="kettle", energy=energy), now + timedelta(hours=n / 2))
        energies.append(appliance.energy)
    assert energies == [5000] * 5 + [30, 40, 50]


def test_memory_of_an_appliance_goes_both_ways() -> None:
    appliance = KnownAppliance("kettle", "Kettle")
    appliance.restore({"state": "on", "changed_at": "2026-11-24T12:00:00+00:00", "changes": []})
    assert appliance.energy is None, "an older version has not noted it"
    memory = appliance.as_dict()
    assert memory is not None
    assert {"state", "changed_at", "changes"} <= memory.keys(), "an older version wants them"


@pytest.mark.parametrize(
    ("hours_off", "shown"),
    [
        pytest.param(0.1, 5000, id="a moment"),
        pytest.param(4, 105_000, id="hours, in which a car can charge"),
        pytest.param(None, 105_000, id="an older version, which has not noted it"),
    ],
)
def test_energy_of_an_appliance_rises_over_a_restart_by_no_more_than_it_can_in_that_time(
    hours_off: float | None, shown: float
) -> None:
    kettle, then = KnownAppliance("kettle", "Kettle"), datetime(2026, 11, 24, 12, tzinfo=UTC)
    kettle.detect(Detection(appliance_id="kettle", energy=5000), then)
    for _ in range(3):
        # Restarts in which nothing is heard of it.
        memory = json.loads(json.dumps(kettle.as_dict()))
        kettle = KnownAppliance("kettle", "Kettle")
        if hours_off is None:
            del memory["energy_at"]
        kettle.restore(memory)
        if hours_off is None:
            break
    kettle.detect(Detection(appliance_id="kettle", energy=105_000), then + timedelta(hours=hours_off or 0))
    assert kettle.energy == shown


def test_energy_that_began_anew_is_believed_though_the_clock_has_jumped_back() -> None:
    kettle, then = KnownAppliance("kettle", "Kettle"), datetime(2028, 11, 24, 12, tzinfo=UTC)
    kettle.detect(Detection(appliance_id="kettle", energy=5000), then)
    kettle.detect(Detection(appliance_id="kettle", energy=10), then)
    for n in range(8):
        now = datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(hours=n / 2)
        kettle.detect(Detection(appliance_id="kettle", energy=20), now)
    assert kettle.energy == 20


async def test_report_without_news_is_not_saved_at_once(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_at_once = []
    delay_save = Store.async_delay_save

    def spy(self: Store[Any], data: Any, delay: float = 0) -> None:
        if self.key.startswith(DOMAIN) and not delay:
            saved_at_once.append(data())
        delay_save(self, data, delay)

    monkeypatch.setattr(Store, "async_delay_save", spy)
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert saved_at_once, "a change is saved at once"
    saved_at_once.clear()
    for energy in range(20):
        detected = f'{{"detected":[{{"id":"mocca_mast","to":1,"Wh":{energy}}}]}}'
        await reader.broadcast(f"event: state\r\ndata: {detected}\r\n\r\n".encode())
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "energy") == "0.019"
    assert saved_at_once == []


@pytest.mark.parametrize(
    ("category", "icon"),
    [
        ("coffee-makers", "mdi:coffee-maker"),
        ("dishwashers", "mdi:dishwasher"),
        ("heat-pumps", "mdi:heat-pump"),
        ("flux-capacitors", None),
    ],
)
async def test_icon_comes_from_the_category(
    hass: HomeAssistant, reader: CurrentlyOneSimulator, category: str, icon: str | None
) -> None:
    off, on = State("off", 0, is_on=False), State("on", 5, is_on=True)
    reader.house.appliances = [Appliance("thing", "Thing", category, 0, (off, on), (10**9, 10**9))]
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    assert state_of(hass, "binary_sensor", f"{READER}:thing:running").attributes.get("icon") == icon


@pytest.mark.parametrize(
    ("language", "category", "model"),
    [
        ("en", "coffee-makers", "Coffee maker"),
        ("de", "coffee-makers", "Kaffeemaschine"),
        ("sv", "washing-machines", "Tvättmaskin"),
        ("fr", "flux-capacitors", "Flux capacitors"),
    ],
)
async def test_category_is_said_once_and_in_the_language_of_the_home_where_it_is_known(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    language: str,
    category: str,
    model: str,
) -> None:
    hass.config.language = language
    off, on = State("off", 0, is_on=False), State("on", 5, is_on=True)
    reader.house.appliances = [Appliance("thing", "Thing", category, 0, (off, on), (10**9, 10**9))]
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, f"{READER}:thing"), entry.entry_id)
    assert device is not None
    assert (device.model, device.model_id) == (model, None)


async def test_category_is_remembered_also_from_where_it_was_once(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    reader.has_inventory = False
    reader._detected.clear()  # noqa: SLF001 (a device that forgot all with its own restart)
    await restart(hass, entry, reader)
    (appliance,) = (
        each for each in entry.runtime_data.coordinator.data.appliances if each.id == "mocca_mast"
    )
    assert appliance.category == "coffee-makers"

    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:mocca_mast"), entry.entry_id)
    assert device is not None
    device_registry.async_update_device(device.id, model="Dishwashers", model_id="dishwashers")
    await restart(hass, entry, reader)
    (appliance,) = (
        each for each in entry.runtime_data.coordinator.data.appliances if each.id == "mocca_mast"
    )
    assert appliance.category == "dishwashers"


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def waiting_events(appliance: KnownAppliance) -> list[str]:
    return [event.type for event in appliance.pending_events]


def report(state: str, second: int | None, *, age: float = 0, may_be_replay: bool = False) -> Transition:
    return Transition(
        appliance_id="x",
        state=state,
        is_on=state == "on",
        previous_state="?",
        time=None if second is None else datetime.fromtimestamp(second, UTC),
        age=age,
        may_be_replay=may_be_replay or age > 0,
    )


@pytest.mark.parametrize(
    ("reports", "events"),
    [
        ([report("on", 100), report("on", 100)], ["turned_on"]),
        ([report("on", 100), report("on", 104)], ["turned_on"]),
        ([report("on", 100), report("on", 130)], ["turned_on", "turned_on"]),
        (
            [report("on", 100), report("off", 101), report("on", 102)],
            ["turned_on", "turned_off", "turned_on"],
        ),
        ([report("on", None), report("on", None)], ["turned_on"]),
        ([report("on", 100), report("on", None)], ["turned_on", "turned_on"]),
        # What was before the first connection ever is no news.
        ([report("on", 100, age=10)], []),
        ([report("on", 100, age=10), report("off", 120)], ["turned_off"]),
        # A clock that jumped back to 1970 silences nothing.
        ([report("on", 1_700_000_000), report("off", 100)], ["turned_on", "turned_off"]),
        # A clock that jumped back makes what is repeated look new.
        (
            [
                report("on", 5000),
                report("off", 5100),
                report("on", 5000, may_be_replay=True),
                report("off", 5100, may_be_replay=True),
            ],
            ["turned_on", "turned_off"],
        ),
    ],
)
def test_report_is_news_once(reports: list[Transition], events: list[str]) -> None:
    appliance = KnownAppliance("x", "X")
    for each in reports:
        appliance.apply(each, NOW)
    assert waiting_events(appliance) == events


@pytest.mark.parametrize(("age", "events"), [(5, ["turned_off"]), (59, ["turned_off"]), (61, [])])
@pytest.mark.parametrize("restarted", [False, True])
def test_change_that_was_missed_is_news_for_a_minute_and_always_the_state(
    age: float, events: list[str], *, restarted: bool
) -> None:
    appliance = KnownAppliance("x", "X")
    appliance.apply(report("on", 1000), NOW)
    appliance.pending_events.clear()
    if restarted:
        memory = json.loads(json.dumps(appliance.as_dict()))
        appliance = KnownAppliance("x", "X")
        appliance.restore(memory)
    later = NOW + timedelta(seconds=300)
    appliance.apply(report("on", 1000, age=300), later)
    appliance.apply(report("off", 1300 - int(age), age=age), later)
    appliance.apply(report("off", 1300 - int(age), age=age), later)
    assert waiting_events(appliance) == events
    assert appliance.is_on is False


def test_inventory_and_detection_may_lack_everything_but_the_id() -> None:
    appliance = KnownAppliance("x", "X")
    appliance.update_from_inventory(ApplianceProfile(id="x", states=(ApplianceState(name=""),)))
    appliance.detect(Detection(appliance_id="x", state_index=0), NOW)
    assert not appliance.pending_events
    assert (appliance.name, appliance.state, appliance.energy) == ("X", None, None)


def test_older_report_that_is_repeated_is_ignored_altogether() -> None:
    appliance = KnownAppliance("x", "X")
    appliance.apply(report("on", 200), NOW)
    appliance.apply(report("off", 100, age=100), NOW)
    assert waiting_events(appliance) == ["turned_on"]
    assert appliance.is_on


def test_detection_of_a_state_without_a_known_one_before_is_no_change() -> None:
    appliance = KnownAppliance("x", "X")
    states = (ApplianceState(name="off", is_on=False), ApplianceState(name="on", is_on=True))
    appliance.update_from_inventory(ApplianceProfile(id="x", states=states))
    appliance.detect(Detection(appliance_id="x", state_index=1), NOW)
    assert not appliance.pending_events
    assert appliance.is_on
    appliance.detect(Detection(appliance_id="x", state_index=0), NOW)
    assert waiting_events(appliance) == ["turned_off"]


@pytest.mark.parametrize(
    "said",
    [
        Detection(appliance_id="x"),
        Detection(appliance_id="x", state_index=7, energy=5),
        Transition(appliance_id="x", state="on"),
        Transition(appliance_id="x", state="on", age=None, may_be_replay=True),
    ],
)
def test_appliance_is_there_as_soon_as_anything_is_said_of_it(said: Detection | Transition) -> None:
    appliance = KnownAppliance("x", "X")
    appliances = Appliances([appliance])
    appliances.process_report(said, NOW)
    assert not appliances.remove(appliance)
    assert list(appliances) == [appliance]
    silent = Appliances([KnownAppliance("x", "X")])
    assert silent.remove(*silent)
    assert not list(silent)


# ------------------------------------------------------------------------------------------ coming and going


async def remove(
    hass: HomeAssistant, client: Any, registry: dr.DeviceRegistry, entry: MockConfigEntry, sub_id: str
) -> bool:
    """Delete a device as its page does; return whether it went."""
    device = registry.async_get_device_by_identifier((DOMAIN, f"{READER}{sub_id}"), entry.entry_id)
    assert device is not None
    answer = await client.remove_device(device.id)
    await hass.async_block_till_done()
    return bool(answer["success"])


@pytest.mark.parametrize(
    ("language", "reason"),
    [
        ("en", "Kettle {x} cannot be deleted, because the reader still reports it: it would come back."),
        ("de", "Kettle {x} kann nicht gelöscht werden, weil das Lesegerät es noch meldet: Es käme wieder."),
    ],
)
async def test_appliance_that_is_there_says_in_the_language_of_the_home_why_it_cannot_be_deleted(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    reader: CurrentlyOneSimulator,
    language: str,
    reason: str,
) -> None:
    device_registry = dr.async_get(hass)
    hass.config.language = language
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:mocca_mast"), entry.entry_id)
    assert device is not None
    device_registry.async_update_device(device.id, name_by_user="Kettle {x}")
    error = (await client.remove_device(device.id))["error"]
    assert error["message"] == reason
    assert (error["translation_domain"], error["translation_key"]) == (DOMAIN, "device_is_there")


async def test_appliance_that_is_gone_from_the_inventory_can_be_deleted_and_comes_back_when_it_speaks(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
    reader: CurrentlyOneSimulator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert not await remove(hass, client, device_registry, entry, ":mocca_mast")
    assert not await remove(hass, client, device_registry, entry, ""), "the reader goes with its entry"

    coffee_maker = reader.house.appliances.pop(0)
    await restart(hass, entry, reader)
    assert await remove(hass, client, device_registry, entry, ":mocca_mast")
    assert entity_id(hass, "event", f"{READER}:mocca_mast:transition") is None
    await restart(hass, entry, reader)
    assert "mocca_mast" not in [each.id for each in entry.runtime_data.coordinator.data.appliances]

    reader.house.appliances.insert(0, coffee_maker)
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "off"
    assert not await remove(hass, client, device_registry, entry, ":mocca_mast")


async def test_deleted_appliance_comes_back_without_a_restart_in_between(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    device_registry: dr.DeviceRegistry,
    reader: CurrentlyOneSimulator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    reader._detected.clear()  # noqa: SLF001 (never heard again)
    await restart(hass, entry, reader)
    assert await remove(hass, client, device_registry, entry, ":mocca_mast")
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    assert shown(hass, "mocca_mast", "running") == "off"
    assert shown(hass, "mocca_mast", "transition") != "unknown"


async def test_appliances_of_the_inventory_are_there_before_they_ever_speak(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, reader: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, reader)
    await settle(hass, entry, reader)
    device = device_registry.async_get_device_by_identifier((DOMAIN, f"{READER}:heat_pump"), entry.entry_id)
    assert device is not None
    assert (device.name, device.model) == ("Heat pump", "Heat pump")
    assert shown(hass, "heat_pump", "running") == "unknown"


async def test_state_is_restored_when_there_is_no_inventory(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> None:
    reader.has_inventory = False
    entry = await set_up(hass, reader)
    for state in ("washing", "heating", "off", "heating"):
        await reader.switch("dishwasher", state)
        await settle(hass, entry, reader)
    assert shown(hass, "dishwasher", "state") == "heating"
    reader.forget()
    await restart(hass, entry, reader)
    assert shown(hass, "dishwasher", "state") == "heating"
