"""Appliances of a CurrentlyOne: states, power, energy and devices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
import json
from typing import Any

from homeassistant.core import HomeAssistant, State as EntityState
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.appliances import Appliance as KnownAppliance, Appliances, Run
from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import (
    ApplianceProfile,
    ApplianceState,
    Detection,
    Inventory,
    Transition,
    connection,
)

from .home_assistant import entity_id, set_up, settle, state_of
from .simulators import CurrentlyOneSimulator
from .simulators.house import Appliance, State
from .time_machine import TimeMachine
from .wait import wait_until

READER = "b8b41879cf58"


class Kitchen:
    """A home with a coffee maker, a dishwasher and a heat pump."""

    def __init__(self, hass: HomeAssistant, reader: CurrentlyOneSimulator) -> None:
        self.hass = hass
        self.reader = reader
        self.entry: MockConfigEntry

    async def set_up(self) -> MockConfigEntry:
        self.entry = await set_up(self.hass, self.reader)
        await self.settle()
        return self.entry

    async def settle(self) -> None:
        await settle(self.hass, self.entry, self.reader)

    async def turn(self, appliance: str, state: str) -> None:
        """Turn an appliance into a state, and wait until its reports have been processed."""
        await self.reader.switch(appliance, state)
        await self.settle()

    @staticmethod
    def encode(event: str, data: str | dict[str, Any]) -> bytes:
        text = data if isinstance(data, str) else json.dumps(data)
        return f"event: {event}\r\ndata: {text}\r\n\r\n".encode()

    async def report(self, event: str, **data: Any) -> None:
        """Send an event, and wait until it has been processed."""
        await self.reader.broadcast(self.encode(event, data))
        await self.settle()

    async def detect(self, appliance: str, index: int, energy: int) -> None:
        """Send a detection without the transition, as old firmware does."""
        sec = int(self.reader.house.clock.timestamp())
        await self.report("state", m="ALL", sec=sec, detected=[{"id": appliance, "to": index, "Wh": energy}])

    async def reconnect(self) -> None:
        count = self.reader.stream_count
        self.reader.end_streams()
        await wait_until(lambda: self.reader.stream_count > count and self.reader.streams)
        await self.settle()

    async def restart(self) -> None:
        """Reload the entry."""
        count = self.reader.stream_count
        await self.hass.config_entries.async_reload(self.entry.entry_id)
        await wait_until(lambda: self.reader.stream_count > count and self.reader.streams)
        await self.hass.async_block_till_done()

    def shown(self, appliance: str, key: str) -> str:
        platform = "binary_sensor" if key == "running" else "sensor"
        return state_of(self.hass, platform, f"{READER}:{appliance}:{key}").state

    def event(self, appliance: str) -> EntityState:
        """Return the state of the event entity."""
        return state_of(self.hass, "event", f"{READER}:{appliance}:transition")

    def device(self, sub_id: str) -> dr.DeviceEntry:
        """Return the device of an appliance, or of the reader for an empty id."""
        registry, identifier = dr.async_get(self.hass), (DOMAIN, f"{READER}{sub_id}")
        device = registry.async_get_device_by_identifier(identifier, self.entry.entry_id)
        assert device is not None
        return device


@pytest.fixture
def kitchen(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> Kitchen:
    return Kitchen(hass, currentlyone)


async def test_transition_changes_state_power_and_energy(kitchen: Kitchen) -> None:
    def values() -> list[str]:
        return [kitchen.shown("mocca_mast", key) for key in ("running", "power", "energy")]

    await kitchen.set_up()
    assert kitchen.shown("mocca_mast", "running") == "unknown"
    await kitchen.turn("mocca_mast", "on")
    assert values() == ["on", "1450", "0.0"]
    await kitchen.reader.tick(20)
    await kitchen.turn("mocca_mast", "off")
    assert values() == ["off", "0", "0.008"]
    energy = state_of(kitchen.hass, "sensor", f"{READER}:mocca_mast:energy").attributes
    assert (energy["device_class"], energy["state_class"]) == ("energy", "total_increasing")
    assert energy["unit_of_measurement"] == "kWh"


@pytest.mark.parametrize("has_inventory", [False, True])
async def test_appliance_with_three_states_shows_their_names(
    kitchen: Kitchen, *, has_inventory: bool
) -> None:
    kitchen.reader.has_inventory = has_inventory
    await kitchen.set_up()
    await kitchen.turn("dishwasher", "washing")
    await kitchen.turn("dishwasher", "off")
    is_shown = entity_id(kitchen.hass, "sensor", f"{READER}:dishwasher:state") is not None
    assert is_shown == has_inventory, "the third state is unknown without an inventory"
    await kitchen.turn("dishwasher", "heating")
    assert kitchen.shown("dishwasher", "state") == "heating"
    assert entity_id(kitchen.hass, "sensor", f"{READER}:mocca_mast:state") is None


async def test_inventory_updates_entities_at_once(kitchen: Kitchen) -> None:
    kitchen.reader.has_inventory = False
    entry = await kitchen.set_up()
    handle = entry.runtime_data.coordinator.handle_message
    handle(Transition(appliance_id="kettle", state="boiling"))
    await kitchen.hass.async_block_till_done()
    assert kitchen.shown("kettle", "running") == "unknown"
    states = (ApplianceState(name="off", is_on=False), ApplianceState(name="boiling", is_on=True))
    profiles = (ApplianceProfile(id="kettle", states=states), ApplianceProfile(id="new"))
    handle(Inventory(appliances=profiles))
    assert kitchen.shown("kettle", "running") == "on"
    await kitchen.hass.async_block_till_done()
    assert kitchen.event("new").state == "unknown"


async def test_detection_needs_an_inventory_for_the_state(kitchen: Kitchen) -> None:
    """Index 0 of this heat pump is "Active"."""
    kitchen.reader.has_inventory = False
    await kitchen.set_up()
    await kitchen.detect("heat_pump", 0, 500)
    assert kitchen.shown("heat_pump", "running") == "unknown"
    assert kitchen.shown("heat_pump", "energy") == "0.5"
    kitchen.reader.has_inventory = True
    await kitchen.restart()
    await kitchen.detect("heat_pump", 0, 501)
    assert kitchen.shown("heat_pump", "running") == "on"
    assert kitchen.shown("heat_pump", "power") == "1900"
    assert kitchen.shown("heat_pump", "energy") == "0.501"


async def test_detection_without_a_transition_is_an_event(kitchen: Kitchen) -> None:
    await kitchen.set_up()
    await kitchen.detect("mocca_mast", 0, 500)
    assert kitchen.event("mocca_mast").state == "unknown", "the previous state is unknown"
    await kitchen.reader.tick(20)
    await kitchen.detect("mocca_mast", 1, 500)
    event = kitchen.event("mocca_mast")
    assert event.attributes["event_type"] == "turned_on"
    await kitchen.reader.tick(20)
    await kitchen.detect("mocca_mast", 1, 501)
    assert kitchen.event("mocca_mast").state == event.state, "it was on before"


async def test_detection_of_an_unknown_state_changes_the_energy(kitchen: Kitchen) -> None:
    await kitchen.set_up()
    for index, energy in ((-1, 700), (2, 701), (99, 702)):
        await kitchen.detect("mocca_mast", index, energy)
        assert kitchen.shown("mocca_mast", "running") == "unknown"
        assert kitchen.shown("mocca_mast", "energy") == f"{energy / 1000}"


async def test_last_run_is_shown_also_after_a_restart(hass: HomeAssistant, kitchen: Kitchen) -> None:
    def shown() -> tuple[str, Any, Any]:
        state = state_of(hass, "sensor", f"{READER}:dishwasher:last_run")
        return state.state, state.attributes.get("minutes"), state.attributes.get("energy_kwh")

    await kitchen.set_up()
    await kitchen.turn("dishwasher", "heating")
    await kitchen.reader.tick(20)
    assert shown() == ("unknown", None, None)
    await kitchen.turn("dishwasher", "off")
    started, *run = shown()
    assert dt_util.parse_datetime(started) is not None
    assert run == [0, pytest.approx(0.012, abs=0.001)]
    await kitchen.restart()
    assert shown() == (started, *run)


async def test_appliance_is_restored_without_an_inventory(
    kitchen: Kitchen, time_machine: TimeMachine
) -> None:
    reader = kitchen.reader
    reader.has_inventory = False
    await kitchen.set_up()
    for state in ("washing", "off", "heating"):
        await kitchen.turn("dishwasher", state)
    reader.forget()
    # Home Assistant stops while the reader is offline: the last state is "unavailable".
    port = reader.port
    await reader.stop()
    await time_machine.advance(120)
    assert kitchen.shown("dishwasher", "running") == "unavailable"
    await reader.start(port)
    await kitchen.restart()
    values = [kitchen.shown("dishwasher", key) for key in ("running", "state", "power", "energy")]
    assert values == ["on", "heating", "2100", "0.0"]
    device = kitchen.device(":dishwasher")
    assert (device.name, device.model, device.model_id) == ("Dishwasher", "Dishwasher", None)
    await kitchen.turn("dishwasher", "off")
    assert [kitchen.shown("dishwasher", key) for key in ("running", "power")] == ["off", "0"]
    assert kitchen.event("dishwasher").attributes["event_type"] == "turned_off"


async def test_replayed_state_replaces_the_restored_one(hass: HomeAssistant, kitchen: Kitchen) -> None:
    entry = await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    await hass.config_entries.async_unload(entry.entry_id)
    await kitchen.reader.switch("mocca_mast", "off")
    await kitchen.reader.advance(90)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: kitchen.reader.streams)
    await kitchen.settle()
    assert kitchen.shown("mocca_mast", "running") == "off"
    assert kitchen.event("mocca_mast").attributes["event_type"] == "turned_on"


async def test_older_report_in_a_replay_changes_nothing(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    replayed = dict(kitchen.reader._detected)  # noqa: SLF001
    await kitchen.reader.advance(60)
    await kitchen.turn("mocca_mast", "off")
    before = kitchen.event("mocca_mast").state
    kitchen.reader._detected.update(replayed)  # noqa: SLF001
    await kitchen.reader.advance(60)
    await kitchen.reconnect()
    assert kitchen.shown("mocca_mast", "running") == "off"
    assert kitchen.event("mocca_mast").state == before


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("has_inventory", [False, True])
async def test_zero_between_two_energies_is_not_shown(
    kitchen: Kitchen, *, restarts: bool, has_inventory: bool
) -> None:
    kitchen.reader.has_inventory = has_inventory
    await kitchen.set_up()
    energies = []
    for energy in (500_000, 0, 500_001):
        await kitchen.detect("mocca_mast", 1, energy)
        energies.append(kitchen.shown("mocca_mast", "energy"))
        if restarts:
            await kitchen.restart()
    assert energies == ["500.0", "500.0", "500.001"]


async def test_event_contains_no_impossible_energy(kitchen: Kitchen) -> None:
    await kitchen.set_up()
    energies = []
    for state, energy in (("off", 500_000), ("on", 900_000), ("off", 500_020)):
        sec = int(kitchen.reader.house.clock.timestamp())
        data = {
            "id": "mocca_mast",
            "bs": state.upper(),
            "sName": state,
            "from": "x",
            "Wh": energy,
            "sec": sec,
        }
        await kitchen.report("transition", **data)
        energies.append(kitchen.event("mocca_mast").attributes["energy"])
    assert energies == [500_000, None, 500_020]


async def test_report_without_a_change_is_not_saved_at_once(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_at_once = []
    delay_save = Store.async_delay_save

    def record(self: Store[Any], data: Any, delay: float = 0) -> None:
        if self.key.startswith(DOMAIN) and not delay:
            saved_at_once.append(data())
        delay_save(self, data, delay)

    monkeypatch.setattr(Store, "async_delay_save", record)
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    assert saved_at_once, "a change is saved at once"
    saved_at_once.clear()
    for energy in range(20):
        await kitchen.report("state", detected=[{"id": "mocca_mast", "to": 1, "Wh": energy}])
    assert kitchen.shown("mocca_mast", "energy") == "0.019"
    assert saved_at_once == []


@pytest.mark.parametrize(
    ("language", "category", "model", "icon"),
    [
        ("en", "coffee-makers", "Coffee maker", "mdi:coffee-maker"),
        ("de", "dishwashers", "Geschirrspüler", "mdi:dishwasher"),
        ("sv", "heat-pumps", "Värmepump", "mdi:heat-pump"),
        ("de", "car-chargers", "Ladestation", "mdi:ev-station"),
        ("fr", "flux-capacitors", "Flux capacitors", None),
    ],
)
async def test_category_is_shown_as_translated_model_and_icon(
    hass: HomeAssistant, kitchen: Kitchen, *, language: str, category: str, model: str, icon: str | None
) -> None:
    hass.config.language = language
    off, on = State("off", 0, is_on=False), State("on", 5, is_on=True)
    kitchen.reader.house.appliances = [Appliance("thing", "Thing", category, 0, (off, on), (10**9, 10**9))]
    await kitchen.set_up()
    device = kitchen.device(":thing")
    assert (device.name, device.model, device.model_id) == ("Thing", model, None)
    running = state_of(hass, "binary_sensor", f"{READER}:thing:running")
    assert (running.state, running.attributes.get("icon")) == ("unknown", icon)


async def test_category_and_event_are_restored(device_registry: dr.DeviceRegistry, kitchen: Kitchen) -> None:
    def category() -> str | None:
        appliances: Appliances = kitchen.entry.runtime_data.coordinator.data.appliances
        return next(each.category for each in appliances if each.id == "mocca_mast")

    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    before = kitchen.event("mocca_mast")
    kitchen.reader.has_inventory = False
    kitchen.reader.forget()
    await kitchen.restart()
    assert category() == "coffee-makers"
    after = kitchen.event("mocca_mast")
    assert (after.entity_id, after.state, after.name) == (before.entity_id, before.state, before.name)
    # Version 1 stored it in the device registry.
    device = kitchen.device(":mocca_mast")
    device_registry.async_update_device(device.id, model="Dishwashers", model_id="dishwashers")
    await kitchen.restart()
    assert category() == "dishwashers"


# ---------------------------------------------------------------------------------- without Home Assistant

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def kettle() -> KnownAppliance:
    return KnownAppliance("kettle", "Kettle")


def restarted(appliance: KnownAppliance) -> KnownAppliance:
    """Return a copy that was restored from stored data."""
    copy = KnownAppliance("kettle", "Kettle")
    copy.restore(json.loads(json.dumps(appliance.as_dict())))
    return copy


def event_types(appliance: KnownAppliance) -> list[str]:
    return [event.type for event in appliance.pending_events]


def report(state: str, second: int | None, *, age: float = 0, may_be_replay: bool = False) -> Transition:
    return Transition(
        appliance_id="kettle",
        state=state,
        is_on=state == "on",
        previous_state="?",
        time=None if second is None else datetime.fromtimestamp(second, UTC),
        age=age,
        may_be_replay=may_be_replay or age > 0,
    )


def test_energy_reset_is_accepted_after_enough_reports(kettle: KnownAppliance) -> None:
    energies = []
    for n, energy in enumerate((5000, 0, 0, 10, 20, 30, 40, 50)):
        kettle.apply_detection(Detection(appliance_id="kettle", energy=energy), NOW + timedelta(hours=n / 2))
        energies.append(kettle.energy)
    assert energies == [5000] * 5 + [30, 40, 50]


def test_energy_reset_is_accepted_after_the_clock_was_set_back(kettle: KnownAppliance) -> None:
    then = NOW.replace(year=2028)
    kettle.apply_detection(Detection(appliance_id="kettle", energy=5000), then)
    kettle.apply_detection(Detection(appliance_id="kettle", energy=10), then)
    for n in range(8):
        kettle.apply_detection(Detection(appliance_id="kettle", energy=20), NOW + timedelta(hours=n / 2))
    assert kettle.energy == 20


@pytest.mark.parametrize(
    ("hours", "energy"),
    [
        pytest.param(0.1, 5000, id="minutes"),
        pytest.param(4, 105_000, id="hours, in which a car can charge"),
        pytest.param(None, 105_000, id="version 1, without the time"),
    ],
)
def test_rise_of_energy_is_limited_by_the_time_of_a_restart(
    kettle: KnownAppliance, hours: float | None, energy: float
) -> None:
    kettle.apply_detection(Detection(appliance_id="kettle", energy=5000), NOW)
    if hours is None:
        data = kettle.as_dict()
        del data["energy_at"]
        kettle = KnownAppliance("kettle", "Kettle")
        kettle.restore(data)
    else:
        # Restarts without a report keep the time.
        kettle = restarted(restarted(kettle))
    kettle.apply_detection(
        Detection(appliance_id="kettle", energy=105_000), NOW + timedelta(hours=hours or 0)
    )
    assert kettle.energy == energy


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
        # Reports from before the first connection fire no event.
        ([report("on", 100, age=10)], []),
        ([report("on", 100, age=10), report("off", 120)], ["turned_off"]),
        # A clock that jumped back to 1970 suppresses no event.
        ([report("on", 1_700_000_000), report("off", 100)], ["turned_on", "turned_off"]),
        # Replayed reports look new after a clock has jumped back.
        (
            [
                report("on", 5000),
                report("off", 5100),
                report("on", 5000, may_be_replay=True),
                report("off", 5100, may_be_replay=True),
            ],
            ["turned_on", "turned_off"],
        ),
        # A disabled event entity does not remove pending events.
        ([report("on", 100 * n) for n in range(30)], ["turned_on"] * 16),
    ],
)
def test_report_fires_one_event(kettle: KnownAppliance, reports: list[Transition], events: list[str]) -> None:
    for each in reports:
        kettle.apply_transition(each, NOW)
    assert event_types(kettle) == events


@pytest.mark.parametrize(("age", "events"), [(5, ["turned_off"]), (59, ["turned_off"]), (61, [])])
@pytest.mark.parametrize("restarts", [False, True])
def test_missed_change_fires_an_event_for_a_minute(
    kettle: KnownAppliance, age: float, events: list[str], *, restarts: bool
) -> None:
    kettle.apply_transition(report("on", 1000), NOW)
    kettle.pending_events.clear()
    if restarts:
        kettle = restarted(kettle)
    later = NOW + timedelta(seconds=300)
    kettle.apply_transition(report("on", 1000, age=300), later)
    kettle.apply_transition(report("off", 1300 - int(age), age=age), later)
    kettle.apply_transition(report("off", 1300 - int(age), age=age), later)
    assert event_types(kettle) == events
    assert kettle.is_on is False


def change(state: str, previous: str | None, energy: float | None, age: float | None = 0) -> Transition:
    """Return a change of the state at an energy."""
    return Transition(
        appliance_id="kettle",
        state=state,
        is_on=state != "off",
        previous_state=previous,
        energy=energy,
        time=None if age is None else NOW - timedelta(seconds=age),
        age=age,
    )


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("reports", "run"),
    [
        ([change("on", "off", 100, 600), change("off", "on", 350)], (600, 0, 250)),
        (
            [change("wash", "off", 5, 600), change("heat", "wash", 9, 300), change("off", "heat", 20)],
            (600, 0, 15),
        ),
        ([change("on", "off", None, 600), change("off", "on", 350)], (600, 0, None)),
        ([change("on", "off", 100, 600), change("off", "on", 50)], (600, 0, None)),
        # The end of the first run was missed.
        (
            [change("on", "off", 1, 900), change("on", "off", 10, 600), change("off", "on", 11, 60)],
            (600, 60, 1),
        ),
        # The repeated report does not start a run.
        (
            [
                change("on", "off", 1, 900),
                replace(change("on", "off", 1, 0), time=NOW - timedelta(seconds=900)),
                change("off", "on", 11),
            ],
            (900, 0, 10),
        ),
        ([change("on", "on", 1, 900), change("off", "on", 2)], None),
        ([change("on", "off", 1, None), change("off", "on", 2)], None),
        ([change("on", "off", 1, 900), change("off", "on", 2, None)], None),
        ([change("on", "off", 1, 900), change("off", "off", 2, 600), change("off", "on", 2)], None),
    ],
)
def test_last_run_needs_a_known_start_and_a_known_end(
    kettle: KnownAppliance,
    reports: list[Transition],
    run: tuple[float, float, float | None] | None,
    *,
    restarts: bool,
) -> None:
    for each in reports:
        kettle.apply_transition(each, NOW)
        if restarts:
            kettle = restarted(kettle)
    if run is None:
        assert kettle.last_run is None
    else:
        start, end, energy = run
        expected = Run(NOW - timedelta(seconds=start), NOW - timedelta(seconds=end), energy)
        assert kettle.last_run == expected


@pytest.mark.parametrize("restarts", [False, True])
def test_replayed_run_does_not_count_twice(kettle: KnownAppliance, *, restarts: bool) -> None:
    for each in (change("on", "off", 100, 600), change("off", "on", 350, 300)):
        kettle.apply_transition(each, NOW)
    run = kettle.last_run
    if restarts:
        kettle = restarted(kettle)
    later = NOW + timedelta(seconds=100)
    for state, previous, energy, age in (("on", "off", 100, 700), ("off", "on", 350, 400)):
        replayed = change(state, previous, energy, age - 100)
        kettle.apply_transition(replace(replayed, age=age, may_be_replay=True), later)
    assert kettle.last_run == run
    assert run is not None


def test_older_transition_in_a_replay_changes_nothing(kettle: KnownAppliance) -> None:
    kettle.apply_transition(report("on", 200), NOW)
    kettle.apply_transition(report("off", 100, age=100), NOW)
    assert event_types(kettle) == ["turned_on"]
    assert kettle.is_on


def test_stored_times_without_a_zone_are_restored(kettle: KnownAppliance) -> None:
    time = "2026-01-01T00:00:00"
    kettle.restore({"state": "on", "changed_at": time, "changes": [["on", time]]})
    kettle.apply_transition(report("off", 1_800_000_000, age=5), NOW)
    assert kettle.state == "off"


def test_inventory_and_detection_can_contain_only_an_id(kettle: KnownAppliance) -> None:
    kettle.update_from_inventory(ApplianceProfile(id="kettle", states=(ApplianceState(name=""),)))
    kettle.apply_detection(Detection(appliance_id="kettle", state_index=0), NOW)
    assert not kettle.pending_events
    assert (kettle.name, kettle.state, kettle.energy) == ("Kettle", None, None)


def test_reported_appliance_cannot_be_removed(kettle: KnownAppliance) -> None:
    for each in (
        Detection(appliance_id="kettle"),
        Detection(appliance_id="kettle", state_index=7, energy=5),
        Transition(appliance_id="kettle", state="on"),
        Transition(appliance_id="kettle", state="on", age=None, may_be_replay=True),
    ):
        appliances = Appliances([KnownAppliance("kettle", "Kettle")])
        appliances.process_report(each, NOW)
        assert not appliances.remove(*appliances)
        assert len(list(appliances)) == 1
    appliances = Appliances([kettle])
    assert appliances.remove(kettle)
    assert not list(appliances)


# ------------------------------------------------------------------------------------------------- removal


@pytest.fixture
async def client(hass: HomeAssistant, hass_ws_client: WebSocketGenerator) -> Any:
    """Return a client that removes devices, as their pages do."""
    assert await async_setup_component(hass, "config", {})
    return await hass_ws_client()


async def remove(kitchen: Kitchen, client: Any, sub_id: str) -> bool:
    """Remove a device. Return whether it was removed."""
    response = await client.remove_device(kitchen.device(sub_id).id)
    await kitchen.hass.async_block_till_done()
    return bool(response["success"])


async def test_rejected_removal_has_a_translated_reason(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, kitchen: Kitchen, client: Any
) -> None:
    hass.config.language = "de"
    await kitchen.set_up()
    device = kitchen.device(":mocca_mast")
    device_registry.async_update_device(device.id, name_by_user="Kettle {x}")
    error = (await client.remove_device(device.id))["error"]
    reason = (
        "Kettle {x} kann nicht gelöscht werden, weil das Auslesegerät dieses Gerät gemeldet hat und "
        "Home Assistant es wieder hinzufügen würde. Deaktiviere das Gerät stattdessen."
    )
    assert error["message"] == reason
    assert (error["translation_domain"], error["translation_key"]) == (DOMAIN, "device_is_there")


async def test_appliance_outside_the_inventory_can_be_removed(
    hass: HomeAssistant, kitchen: Kitchen, client: Any
) -> None:
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    assert not await remove(kitchen, client, ":mocca_mast")
    assert not await remove(kitchen, client, ""), "the reader is removed with its entry"

    coffee_maker = kitchen.reader.house.appliances.pop(0)
    await kitchen.restart()
    assert await remove(kitchen, client, ":mocca_mast")
    assert entity_id(hass, "event", f"{READER}:mocca_mast:transition") is None
    await kitchen.restart()
    assert "mocca_mast" not in [each.id for each in kitchen.entry.runtime_data.coordinator.data.appliances]

    kitchen.reader.house.appliances.insert(0, coffee_maker)
    await kitchen.turn("mocca_mast", "off")
    assert kitchen.shown("mocca_mast", "running") == "off"
    assert not await remove(kitchen, client, ":mocca_mast")


async def test_removed_appliance_returns_with_a_report(kitchen: Kitchen, client: Any) -> None:
    kitchen.reader.has_inventory = False
    await kitchen.set_up()
    await kitchen.turn("mocca_mast", "on")
    kitchen.reader.forget()
    await kitchen.restart()
    assert await remove(kitchen, client, ":mocca_mast")
    await kitchen.turn("mocca_mast", "off")
    assert kitchen.shown("mocca_mast", "running") == "off"
    assert kitchen.event("mocca_mast").state != "unknown"
