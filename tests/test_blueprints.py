"""The blueprints, run by Home Assistant's own automations on simulated readers."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
import logging
from pathlib import Path
import shutil
from typing import Any, override

from freezegun import freeze_time
from homeassistant.components.blueprint import models, schemas
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import CoreState, Event, EventStateChangedData, HomeAssistant, ServiceCall, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import Measurement

from .conftest import Start
from .home_assistant import entity_id, set_up, tick
from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .readers.house import Appliance, State
from .time_machine import TimeMachine
from .waiting import until

pytestmark = pytest.mark.slow("blueprints/*", "power_tariff/*", "binary_sensor.py", "tests/time_machine.py")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "blueprints/automation" / DOMAIN
BLUEPRINTS = sorted(path.name for path in FOLDER.iterdir())

# Seconds. Shorter than any freshness, so that a reader that speaks this often is heard all the time.
STEP = 20.0

NEVER_BY_ITSELF = 10**9


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Return a configuration of its own, for blueprints to be imported into."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
async def time_machine(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[TimeMachine]:
    """Return control over all clocks, a minute past an hour, before anything reads one."""
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # It does not support a stopped wall clock.
    with freeze_time(datetime(2026, 11, 15, 11, 1, tzinfo=UTC)) as wall_clock:
        yield TimeMachine(asyncio.get_running_loop(), wall_clock.tick)


class Household[R: WhatwattSimulator | CurrentlyOneSimulator]:
    """A home with a reader, and time that passes when it is asked to."""

    def __init__(self, hass: HomeAssistant, reader: R, time_machine: TimeMachine) -> None:
        self.hass = hass
        self.reader: R = reader
        self._time_machine = time_machine

    async def let_pass(self, seconds: float) -> None:
        """Let time pass without a reading."""
        await self._time_machine.let_pass(seconds)

    async def live(self, minutes: float) -> None:
        """Live on, with a reader that is heard."""
        for _ in range(round(minutes * 60 / STEP)):
            await self.let_pass(STEP)
            self.set_power()
            await tick(self.hass, self.reader, STEP)

    def set_power(self) -> None:
        """Set the power of the next reading."""

    async def lose_the_reader(self, minutes: float) -> None:
        """Let the reader vanish for some time, and come back."""
        port = self.reader.port
        await self.reader.stop()
        await self.let_pass(minutes * 60)
        assert self.hass.states.is_state(self.entity("_active_power_net"), STATE_UNAVAILABLE)
        await self.reader.advance(minutes * 60)
        await self.reader.start(port)
        entry = self.hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, self.reader.device_id)
        assert entry is not None
        # Its announcement ends the wait for the next attempt.
        entry.runtime_data.async_seen_at(self.reader.host)
        await until(lambda: self.reader.streams)
        await tick(self.hass, self.reader)

    def entity(self, key: str, platform: str = "sensor") -> str:
        """Return one of the reader's entities."""
        found = entity_id(self.hass, platform, self.reader.device_id + key)
        assert found is not None
        return found

    async def show_in(self, entity: str, unit: str) -> None:
        """Choose another unit for an entity, as its owner can."""
        options = {"unit_of_measurement": unit}
        er.async_get(self.hass).async_update_entity_options(entity, "sensor", options)
        await tick(self.hass, self.reader)

    async def automate(self, blueprint: str, **inputs: Any) -> list[dict[str, Any]]:
        """Make an automation of a blueprint. Returns what its actions say, as far as they have."""
        shutil.copytree(FOLDER, self.hass.config.path("blueprints/automation", DOMAIN), dirs_exist_ok=True)
        said: list[dict[str, Any]] = []

        @callback
        def say(call: ServiceCall) -> None:
            said.append(dict(call.data))

        self.hass.services.async_register("test", "say", say)
        saying = {
            name: [{"action": "test.say", "data": data}]
            for name, data in inputs.items()
            if name.endswith("actions")
        }
        use = {"path": f"{DOMAIN}/{blueprint}.yaml", "input": {**inputs, **saying}}
        assert await async_setup_component(self.hass, "automation", {"automation": [{"use_blueprint": use}]})
        assert [state.state for state in self.hass.states.async_all("automation")] == ["on"]
        return said

    async def stop_automations(self) -> None:
        """Stop them with all that they wait for."""
        await self.hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)


# -------------------------------------------------------------------------------------- for the importer


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_blueprint_is_one_that_home_assistant_imports(name: str) -> None:
    blueprint = models.Blueprint(
        load_yaml_dict(str(FOLDER / name)),
        expected_domain="automation",
        path=name,
        schema=schemas.BLUEPRINT_SCHEMA,
    )
    assert blueprint.validate() is None
    assert str(blueprint.metadata["source_url"]).endswith(f"/blob/main/{(FOLDER / name).relative_to(ROOT)}")


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_blueprint_asks_for_the_home_assistant_that_the_integration_asks_for(name: str) -> None:
    floor = load_yaml_dict(str(FOLDER / name))["blueprint"]["homeassistant"]["min_version"]
    assert f'"homeassistant": "{floor}"' in (ROOT / "hacs.json").read_text()


# -------------------------------------------------------------------------------------------- appliances


class Kitchen(Household[CurrentlyOneSimulator]):
    """A home whose dishwasher only does what it is told."""

    @property
    def running(self) -> str:
        return self.entity(":dishwasher:running", "binary_sensor")

    async def turn(self, state: str) -> None:
        """Put the dishwasher into a state, and wait until Home Assistant knows."""
        await self.reader.switch("dishwasher", state)
        expected = "off" if state == "off" else "on"
        await until(lambda: (entity := self.hass.states.get(self.running)) and entity.state == expected)
        await tick(self.hass, self.reader, 0)


@pytest.fixture
async def kitchen(hass: HomeAssistant, start: Start, time_machine: TimeMachine) -> AsyncGenerator[Kitchen]:
    """Return a home with a dishwasher that is off, and known to have been on."""
    states = (
        State("off", 0, is_on=False),
        State("washing", 120, is_on=True),
        State("heating", 2100, is_on=True),
    )
    dishwasher = Appliance("dishwasher", "Dishwasher", "dishwashers", 1, states, (NEVER_BY_ITSELF,) * 3)
    reader = CurrentlyOneSimulator(House(clock=datetime.now(UTC), appliances=[dishwasher]))
    await start(reader)
    await set_up(hass, reader)
    kitchen = Kitchen(hass, reader, time_machine)
    await tick(hass, reader)
    await kitchen.turn("washing")
    await kitchen.turn("off")
    # A device tells one change from another by its second.
    await tick(hass, reader, 1)
    with pytest.MonkeyPatch.context() as patch:
        # An automation that waits for the end of a run is never done.
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        yield kitchen
        await kitchen.stop_automations()


# 2100 W for 6 minutes. The reader cuts its register off at whole watt-hours.
AROUND_210 = pytest.approx(210, abs=1)

FINISHED = {"appliance": "{{ appliance }}", "minutes": "{{ minutes }}", "watt_hours": "{{ watt_hours }}"}


@pytest.mark.parametrize("unit", ["kWh", "Wh", "MWh"])
async def test_finished_appliance_is_told_with_how_long_it_ran_and_what_it_used(
    kitchen: Kitchen, unit: str
) -> None:
    await kitchen.show_in(kitchen.entity(":dishwasher:energy"), unit)
    said = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn("washing")
    await kitchen.live(minutes=6)
    await kitchen.turn("heating")
    await kitchen.live(minutes=4)
    await kitchen.turn("off")
    await kitchen.live(minutes=2)
    assert said == [], "it may go on"
    await kitchen.live(minutes=2)
    # 120 W for 6 minutes and 2100 W for 4.
    assert said == [{"appliance": "Dishwasher", "minutes": 10, "watt_hours": pytest.approx(152, abs=1)}]


@pytest.mark.smoke
async def test_pause_within_a_run_is_no_end_of_it(kitchen: Kitchen) -> None:
    said = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    for _ in range(2):
        await kitchen.turn("heating")
        await kitchen.live(minutes=3)
        await kitchen.turn("off")
        await kitchen.live(minutes=2)
    assert said == []
    await kitchen.live(minutes=2)
    # From the first time on to the last time off.
    assert said == [{"appliance": "Dishwasher", "minutes": 8, "watt_hours": AROUND_210}]


@pytest.mark.parametrize(
    ("state", "minutes"), [("heating", 4), ("washing", 6)], ids=["too short", "too little energy"]
)
async def test_appliance_that_did_not_really_run_has_not_finished(
    kitchen: Kitchen, state: str, minutes: int
) -> None:
    said = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn(state)
    await kitchen.live(minutes)
    await kitchen.turn("off")
    await kitchen.live(minutes=4)
    assert said == []
    await kitchen.turn("heating")
    await kitchen.live(minutes=6)
    await kitchen.turn("off")
    await kitchen.live(minutes=4)
    assert len(said) == 1, "the next one really did"


async def test_run_that_home_assistant_was_restarted_in_is_told_when_it_has_finished(
    kitchen: Kitchen,
) -> None:
    await kitchen.turn("heating")
    kitchen.hass.set_state(CoreState.not_running)
    said = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.hass.async_start()
    await kitchen.live(minutes=6)
    await kitchen.turn("off")
    await kitchen.live(minutes=4)
    assert said == [{"appliance": "Dishwasher", "minutes": 6, "watt_hours": AROUND_210}]


async def test_run_that_the_reader_was_away_in_is_told_once_and_whole(kitchen: Kitchen) -> None:
    said = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn("heating")
    await kitchen.live(minutes=1)
    await kitchen.lose_the_reader(minutes=6)
    await kitchen.turn("off")
    await kitchen.live(minutes=4)
    assert [call["minutes"] for call in said] == [7]
    assert said[0]["watt_hours"] == pytest.approx(2100 * 7 / 60, abs=7)


LEFT_ON = {"appliance": "{{ appliance }}", "minutes": "{{ minutes }}"}


async def test_appliance_that_is_on_for_too_long_is_told_once(kitchen: Kitchen) -> None:
    said = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"minutes": 10}, actions=LEFT_ON
    )
    await kitchen.turn("heating")
    await kitchen.live(minutes=5)
    # It is on all the same.
    await kitchen.turn("washing")
    await kitchen.live(minutes=4)
    assert said == []
    await kitchen.live(minutes=3)
    # It is looked at every minute.
    assert said in ([{"appliance": "Dishwasher", "minutes": minutes}] for minutes in (10, 11))
    await kitchen.live(minutes=10)
    assert len(said) == 1


async def test_appliance_that_is_turned_off_in_time_is_not_told(kitchen: Kitchen) -> None:
    said = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"minutes": 5}, actions=LEFT_ON
    )
    for _ in range(3):
        await kitchen.turn("heating")
        await kitchen.live(minutes=4)
        await kitchen.turn("off")
        await kitchen.live(minutes=2)
    assert said == []


async def test_appliance_that_is_on_when_home_assistant_starts_is_told_too(kitchen: Kitchen) -> None:
    await kitchen.turn("heating")
    said = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"minutes": 5}, actions=LEFT_ON
    )
    await kitchen.live(minutes=7)
    assert len(said) == 1


# --------------------------------------------------------------------------------------------- the meter


class TellingHouse(House):
    """A house whose meter shows what it is told to."""

    shown_power = 300.0
    shown_currents = (1.0, 1.0, 1.0)
    shown_voltages = (230.0, 230.0, 230.0)
    shown_tariff = 1

    @property
    def tariff(self) -> int:
        return self.shown_tariff

    def current(self, phase: int) -> float:
        return self.shown_currents[phase]

    def _measure(self) -> None:
        super()._measure()
        self.power = [self.shown_power / 3] * 3
        # Every reading is another one, which tests wait for.
        noise = self._random.uniform(0, 0.5)
        self.voltage = [volts + noise for volts in self.shown_voltages]


class Metered(Household[WhatwattSimulator]):
    """A home whose meter shows what it is told to."""

    @property
    def meter(self) -> TellingHouse:
        assert isinstance(self.reader.house, TellingHouse)
        return self.reader.house

    def phases(self, key: str) -> list[str]:
        return [self.entity(f"_{key}_l{phase}") for phase in (1, 2, 3)]


@pytest.fixture
async def home(hass: HomeAssistant, start: Start, time_machine: TimeMachine) -> AsyncGenerator[Metered]:
    """Return a home with a meter that is heard."""
    reader = WhatwattSimulator(TellingHouse(clock=datetime.now(UTC)))
    await start(reader)
    await set_up(hass, reader)
    await tick(hass, reader)
    home = Metered(hass, reader, time_machine)
    yield home
    await home.stop_automations()


IMPORT = {"limit": 4000, "actions": {"watts": "{{ watts }}"}}


@pytest.mark.parametrize("unit", ["W", "kW"])
async def test_import_above_the_limit_is_told_when_it_stays_there(home: Metered, unit: str) -> None:
    power = home.entity("_active_power_import")
    await home.show_in(power, unit)
    said = await home.automate("import_above_limit", power=power, **IMPORT)
    home.meter.shown_power = 6000
    await home.live(minutes=2 / 3)
    home.meter.shown_power = 3900
    await home.live(minutes=1)
    assert said == [], "a kettle is no reason"
    home.meter.shown_power = 6000
    await home.live(minutes=5)
    assert said == [{"watts": 6000}]
    home.meter.shown_power = 300
    await home.live(minutes=1)
    home.meter.shown_power = 4200
    await home.live(minutes=2)
    assert said == [{"watts": 6000}, {"watts": 4200}]


async def test_import_that_is_above_the_limit_after_an_interruption_is_told(home: Metered) -> None:
    said = await home.automate("import_above_limit", power=home.entity("_active_power_net"), **IMPORT)
    home.meter.shown_power = 5000
    await home.lose_the_reader(minutes=10)
    assert said == []
    await home.live(minutes=2)
    assert said == [{"watts": 5000}]


async def test_export_is_no_import(home: Metered) -> None:
    said = await home.automate("import_above_limit", power=home.entity("_active_power_net"), **IMPORT)
    home.meter.shown_power = -6000
    await home.live(minutes=3)
    assert said == []


async def test_voltage_out_of_band_is_told_by_phase_and_direction(home: Metered) -> None:
    actions = {"sensor": "{{ sensor }}", "volts": "{{ volts | round }}", "direction": "{{ direction }}"}
    said = await home.automate("voltage_out_of_band", voltages=home.phases("voltage"), actions=actions)
    home.meter.shown_voltages = (206, 253.1, 230)
    await home.live(minutes=2 / 3)
    home.meter.shown_voltages = (230, 253.1, 230)
    await home.live(minutes=1)
    assert said == [{"sensor": "Meter Voltage L2", "volts": 253, "direction": "high"}]
    home.meter.shown_voltages = (203, 240, 203)
    await home.live(minutes=2)
    assert sorted((call["sensor"], call["direction"]) for call in said[1:]) == [
        ("Meter Voltage L1", "low"),
        ("Meter Voltage L3", "low"),
    ]


async def test_phases_out_of_balance_are_told(home: Metered) -> None:
    actions = {"highest": "{{ highest }}", "lowest": "{{ lowest }}", "amperes": "{{ amperes }}"}
    said = await home.automate("phases_out_of_balance", currents=home.phases("current"), actions=actions)
    home.meter.shown_currents = (18, 17, 18)
    await home.live(minutes=2)
    assert said == [], "much, but balanced"
    home.meter.shown_currents = (18, 1.5, 4)
    await home.live(minutes=2 / 3)
    assert said == []
    await home.live(minutes=1)
    assert said == [{"highest": "Meter Current L1", "lowest": "Meter Current L2", "amperes": 16.5}]


async def test_phases_that_are_not_heard_are_not_out_of_balance(home: Metered) -> None:
    home.meter.shown_currents = (15, 15, 15)
    await home.live(minutes=1)
    currents = home.phases("current")
    said = await home.automate("phases_out_of_balance", currents=currents, limit=10, actions={"is": "bad"})
    await home.lose_the_reader(minutes=10)
    await home.live(minutes=2)
    assert said == []


# ----------------------------------------------------------------------------------------------- the sun

SURPLUS = {
    "start": 2000,
    "start_duration": {"minutes": 2},
    "start_actions": {"on": "{{ surplus }}"},
    "stop": 500,
    "stop_duration": {"minutes": 2},
    "stop_actions": {"off": "{{ surplus }}"},
}


@pytest.mark.parametrize("unit", ["W", "kW"])
async def test_surplus_comes_and_goes_with_a_band_between(home: Metered, unit: str) -> None:
    power = home.entity("_active_power_net")
    await home.show_in(power, unit)
    said = await home.automate("solar_surplus", power=power, **SURPLUS)
    home.meter.shown_power = -2400
    await home.live(minutes=5 / 3)
    assert said == [], "not for long enough yet"
    await home.live(minutes=1)
    assert said == [{"on": 2400}]
    # What was turned on takes its share: within the band nothing happens.
    home.meter.shown_power = -600
    await home.live(minutes=5)
    home.meter.shown_power = 1500
    await home.live(minutes=5 / 3)
    home.meter.shown_power = -600
    await home.live(minutes=1)
    assert len(said) == 1, "a cloud"
    home.meter.shown_power = 300
    await home.live(minutes=8 / 3)
    assert said == [{"on": 2400}, {"off": -300}]
    home.meter.shown_power = -1900
    await home.live(minutes=5)
    assert len(said) == 2


async def test_surplus_that_nobody_hears_of_is_taken_for_gone(home: Metered) -> None:
    said = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    home.meter.shown_power = -3000
    await home.live(minutes=8 / 3)
    assert said == [{"on": 3000}]
    await home.reader.stop()
    await home.let_pass(3 * 60)
    assert len(said) == 1, "it may come back"
    await home.let_pass(60)
    assert said == [{"on": 3000}, {"off": None}]


@pytest.mark.parametrize(
    ("power", "expected"),
    [(-3000, [{"on": 3000}]), (-1000, []), (200, [{"off": -200}])],
    ids=["surplus", "between", "none"],
)
async def test_what_holds_when_home_assistant_starts_is_done_at_once(
    home: Metered, power: float, expected: list[dict[str, int]]
) -> None:
    home.meter.shown_power = power
    await home.live(minutes=1)
    home.hass.set_state(CoreState.not_running)
    said = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.hass.async_start()
    await home.hass.async_block_till_done()
    assert said == expected


# ---------------------------------------------------------------------------------------- the power tariff


class Billed(Metered):
    """A home with a power tariff that has billed 2 kW so far, and loads that can be turned off."""

    power_of: Mapping[str, float]
    """W of each load while it is on."""

    turned: list[str]
    """What has been turned on and off, in order."""

    base = 500.0
    """W of everything else."""

    @override
    def set_power(self) -> None:
        self.meter.shown_power = self.base + sum(
            watts for load, watts in self.power_of.items() if not self.hass.states.is_state(load, "off")
        )

    async def live_until(self, minute: int) -> None:
        """Live on until a minute of the hour."""
        while datetime.now(UTC).minute != minute:
            await self.live(STEP / 60)

    async def live_into_the_next_interval(self) -> None:
        """Live on into the next interval, but not until a peak has been expected in it for a minute."""
        await self.live_until(0)
        await self.live(minutes=2 / 3)

    async def stay_below(self, **inputs: Any) -> list[dict[str, Any]]:
        """Make an automation of the blueprint."""
        said = await self.automate(
            "stay_below_peak",
            peak_expected=self.entity("_peak_expected", "binary_sensor"),
            expected_demand=self.entity("_expected_demand"),
            demand_limit=self.entity("_demand_limit"),
            loads=list(self.power_of),
            actions={"above": "{{ watts }}"},
            **inputs,
        )

        @callback
        def note(event: Event[EventStateChangedData]) -> None:
            old, new = event.data["old_state"], event.data["new_state"]
            if old is not None and new is not None and old.state != new.state:
                self.turned.append(f"{new.object_id} {new.state}")

        async_track_state_change_event(self.hass, list(self.power_of), note)
        return said

    async def use_by_hand(self, load: str, service: str) -> None:
        """Turn a load on or off as somebody who lives there."""
        await self.hass.services.async_call("homeassistant", service, {"entity_id": load}, blocking=True)


@pytest.fixture
async def billed(
    hass: HomeAssistant,
    start: Start,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> AsyncGenerator[Billed]:
    """Return a home whose month bills 2 kW so far, some minutes after a full hour."""
    reader = WhatwattSimulator(TellingHouse(clock=datetime.now(UTC)))
    await start(reader)
    assert await async_setup_component(hass, "homeassistant", {})
    tariff = {"enabled": True, "interval": "60", "peaks": 1, "one_per_day": False}
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    home = Billed(hass, reader, time_machine)
    add_hours(entry)
    hass.config_entries.async_update_entry(entry, options={"power_tariff": tariff})
    await hass.config_entries.async_reload(entry.entry_id)
    loads = {"boiler": 4000.0, "sauna": 1000.0, "charger": 500.0}
    helpers = {load: {"initial": True} for load in loads}
    assert await async_setup_component(hass, "input_boolean", {"input_boolean": helpers})
    home.power_of = {f"input_boolean.{load}": watts for load, watts in loads.items()}
    home.turned = []
    await until(lambda: reader.streams)
    await tick(hass, reader)
    await until(lambda: hass.states.is_state(home.entity("_demand_limit"), "2.0"))
    with pytest.MonkeyPatch.context() as patch:
        # An automation that waits for the end of an interval is not done before it.
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        yield home
        await home.stop_automations()


def add_hours(entry: MockConfigEntry) -> None:
    """Let the register history have some hours of 2 kWh, the last of which has just ended."""
    history = entry.runtime_data.registers[Measurement.ACTIVE_ENERGY_IMPORT]
    assert history.last is not None
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    totals = {hour - timedelta(hours=n): history.last.total - 2000.0 * n for n in range(4)}
    history.add_earlier(totals, now)


@pytest.mark.parametrize("unit", ["kW", "W"])
async def test_loads_are_turned_off_in_their_order_as_far_as_needed_and_on_again(
    billed: Billed, unit: str
) -> None:
    await billed.show_in(billed.entity("_demand_limit"), unit)
    said = await billed.stay_below()
    await billed.live(minutes=2 / 3)
    assert billed.turned == [], "not for long enough yet"
    # 6 kW are drawn, and 2 kW are the limit.
    await billed.live(minutes=9)
    assert billed.turned == ["boiler off", "sauna off"]
    await billed.live_until(59)
    assert len(billed.turned) == 2
    assert said == [], "it was enough"
    await billed.live_into_the_next_interval()
    assert billed.turned[2:] == ["boiler on", "sauna on"]


@pytest.mark.smoke
async def test_kettle_is_no_peak(billed: Billed) -> None:
    for load in billed.power_of:
        await billed.use_by_hand(load, "turn_off")
    await billed.live(minutes=1)
    await billed.stay_below()
    for _ in range(3):
        billed.base = 3000
        await billed.live(minutes=2 / 3)
        billed.base = 500
        await billed.live(minutes=5)
    assert billed.turned == []


async def test_what_is_not_enough_is_told_once(billed: Billed) -> None:
    billed.base = 3000
    said = await billed.stay_below()
    await billed.live(minutes=20)
    assert billed.turned == ["boiler off", "sauna off", "charger off"]
    assert len(said) == 1
    assert 1000 < said[0]["above"] < 1600, "3 kW, and 2 kW are the limit"


async def test_what_others_have_turned_off_or_on_stays_as_it_is(billed: Billed) -> None:
    await billed.use_by_hand("input_boolean.sauna", "turn_off")
    await billed.stay_below()
    await billed.live(minutes=5)
    assert billed.turned == ["boiler off"]
    await billed.use_by_hand("input_boolean.boiler", "turn_on")
    await billed.live(minutes=5)
    assert billed.turned[1:] == ["boiler on", "charger off"], "somebody wants the boiler"
    await billed.live_into_the_next_interval()
    assert billed.turned[3:] == ["charger on"], "and nobody the sauna"


@pytest.mark.smoke
async def test_peak_that_comes_later_in_the_interval_turns_off_more(billed: Billed) -> None:
    await billed.stay_below()
    await billed.live(minutes=9)
    assert billed.turned == ["boiler off", "sauna off"]
    billed.base = 2000
    await billed.live(minutes=15)
    assert billed.turned[2:] == ["charger off"]


async def test_peak_that_goes_on_into_the_next_interval_is_one_again(billed: Billed) -> None:
    billed.base = 3000
    said = await billed.stay_below()
    await billed.live_until(0)
    await billed.live(minutes=20)
    assert billed.turned == [
        *("boiler off", "sauna off", "charger off"),
        *("boiler on", "sauna on", "charger on"),
        *("boiler off", "sauna off", "charger off"),
    ]
    assert len(said) == 2


async def test_interval_that_nobody_heard_the_end_of_is_over_all_the_same(billed: Billed) -> None:
    await billed.stay_below()
    await billed.live(minutes=5)
    await billed.reader.stop()
    await billed.let_pass(40 * 60)
    assert billed.turned == ["boiler off", "sauna off"]
    await billed.let_pass(20 * 60)
    assert billed.turned[2:] == ["boiler on", "sauna on"]


async def test_nothing_stays_off_over_a_restart_of_home_assistant(billed: Billed) -> None:
    await billed.stay_below()
    await billed.live(minutes=9)
    assert billed.turned == ["boiler off", "sauna off"]
    await billed.hass.async_stop()
    assert billed.turned[2:] == ["boiler on", "sauna on"]


async def test_load_that_cannot_be_turned_off_is_left_for_the_next_one(billed: Billed) -> None:
    @callback
    def fail(_call: ServiceCall) -> None:
        raise HomeAssistantError("It does not answer.")

    for service in ("turn_off", "turn_on"):
        billed.hass.services.async_register("light", service, fail)
    billed.hass.states.async_set("light.garden", "on")
    billed.power_of = {"light.garden": 0, "light.gone": 0, **billed.power_of}
    await billed.stay_below()
    await billed.live(minutes=19)
    assert billed.turned[:2] == ["boiler off", "sauna off"]
    await billed.live_into_the_next_interval()
    turned_off = [each for each in billed.turned if each.endswith(" off")]
    turned_on = billed.turned[len(turned_off) :]
    assert turned_on == [each.replace("off", "on") for each in turned_off]


async def test_thermostat_goes_on_in_the_mode_that_it_was_in(billed: Billed) -> None:
    thermostat = {"platform": "generic_thermostat", "name": "Heat pump", "heater": "input_boolean.sauna"}
    climate = {**thermostat, "target_sensor": "sensor.room", "initial_hvac_mode": "heat"}
    assert await async_setup_component(billed.hass, "climate", {"climate": climate})
    await billed.hass.async_block_till_done()
    billed.power_of = {"climate.heat_pump": 6000, **billed.power_of}
    await billed.stay_below()
    await billed.live(minutes=5)
    assert billed.turned[0] == "heat_pump off"
    await billed.live_into_the_next_interval()
    assert "heat_pump heat" in billed.turned


# ----------------------------------------------------------------------------------------------- tariffs

TARIFF = {"tariff": "T{{ tariff }}"}


@pytest.mark.parametrize(
    ("tariffs", "expected"), [({}, ["T2", "T1"]), ({"tariffs": ["2"]}, ["T2"])], ids=["any", "only tariff 2"]
)
async def test_change_of_the_tariff_is_told(
    home: Metered, tariffs: dict[str, list[str]], expected: list[str]
) -> None:
    active_tariff = home.entity("_active_tariff")
    said = await home.automate("tariff_changed", active_tariff=active_tariff, actions=TARIFF, **tariffs)
    for tariff in (1, 2, 2, 1):
        home.meter.shown_tariff = tariff
        await home.live(minutes=1)
    assert [call["tariff"] for call in said] == expected


@pytest.mark.parametrize(("after_interruption", "expected"), [(False, []), (True, [{"tariff": "T2"}])])
async def test_tariff_after_an_interruption_is_told_only_to_those_who_want_it(
    home: Metered, *, after_interruption: bool, expected: list[dict[str, str]]
) -> None:
    said = await home.automate(
        "tariff_changed",
        active_tariff=home.entity("_active_tariff"),
        after_interruption=after_interruption,
        actions=TARIFF,
    )
    home.meter.shown_tariff = 2
    await home.lose_the_reader(minutes=10)
    await home.live(minutes=1)
    assert said == expected
