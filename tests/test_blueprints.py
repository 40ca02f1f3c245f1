"""The blueprints, run by Home Assistant's own automations on simulated readers."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from homeassistant.components.blueprint import models, schemas
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.util.yaml import load_yaml_dict
import pytest

from .conftest import Start
from .home_assistant import set_up, tick
from .household import FOLDER, ROOT, Household, Metered, TellingHouse, simulated_time
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.house import Appliance, State
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow(
    "blueprints/*", "power_tariff/*", "binary_sensor.py", "tests/household.py", "tests/time_machine.py"
)

BLUEPRINTS = sorted(path.name for path in FOLDER.iterdir())

NEVER_BY_ITSELF = 10**9


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Return a configuration of its own, for blueprints to be imported into."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
async def time_machine(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[TimeMachine]:
    """Return control over all clocks, before anything reads one."""
    with simulated_time(caplog) as time_machine:
        yield time_machine


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
        await wait_until(lambda: (entity := self.hass.states.get(self.running)) and entity.state == expected)
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


async def test_run_is_told_when_the_automation_was_changed_in_it(kitchen: Kitchen) -> None:
    said = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn("heating")
    await kitchen.live(minutes=1)
    await kitchen.change_automation(minimum_minutes=4)
    await kitchen.live(minutes=6)
    await kitchen.turn("off")
    await kitchen.live(minutes=4)
    assert [call["minutes"] for call in said] == [6]


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


async def test_appliance_left_on_is_told_once_when_limit_is_changed(kitchen: Kitchen) -> None:
    said = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"hours": 1}, actions=LEFT_ON
    )
    await kitchen.turn("heating")
    await kitchen.live(minutes=10)
    assert said == []
    for minutes in (9, 8):
        await kitchen.change_automation(limit={"minutes": minutes})
        await kitchen.live(minutes=3)
        assert said == [{"appliance": "Dishwasher", "minutes": 10}]


# --------------------------------------------------------------------------------------------- the meter


@pytest.fixture
async def home(hass: HomeAssistant, start: Start, time_machine: TimeMachine) -> AsyncGenerator[Metered]:
    """Return a home with a meter that is heard."""
    reader = WhatwattSimulator(TellingHouse(clock=datetime.now(UTC)))
    await start(reader)
    await set_up(hass, reader)
    await tick(hass, reader)
    home = Metered(hass, reader, time_machine)
    with pytest.MonkeyPatch.context() as patch:
        # An automation that waits is not done before the wait is over.
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
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


async def test_import_is_told_when_it_was_above_the_limit_before(home: Metered) -> None:
    home.meter.shown_power = 5000
    await home.live(minutes=1)
    home.hass.set_state(CoreState.not_running)
    said = await home.automate("import_above_limit", power=home.entity("_active_power_net"), **IMPORT)
    await home.hass.async_start()
    await home.live(minutes=2 / 3)
    assert said == []
    await home.live(minutes=1)
    assert said == [{"watts": 5000}]
    await home.reload_automations()
    await home.live(minutes=2)
    assert len(said) == 1, "it was not this one that was changed"
    await home.change_automation(limit=4500)
    await home.live(minutes=2)
    assert len(said) == 2


async def test_import_is_not_told_when_it_falls_soon_after_a_start(home: Metered) -> None:
    home.meter.shown_power = 5000
    await home.live(minutes=1)
    home.hass.set_state(CoreState.not_running)
    said = await home.automate("import_above_limit", power=home.entity("_active_power_net"), **IMPORT)
    await home.hass.async_start()
    for power in (3000, 5000, 3000):
        home.meter.shown_power = power
        await home.live(minutes=2 / 3)
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


async def test_phases_are_told_when_out_of_balance_before(home: Metered) -> None:
    home.meter.shown_currents = (18, 1.5, 4)
    await home.live(minutes=1)
    home.hass.set_state(CoreState.not_running)
    actions = {"amperes": "{{ amperes }}"}
    said = await home.automate("phases_out_of_balance", currents=home.phases("current"), actions=actions)
    await home.hass.async_start()
    await home.live(minutes=2)
    assert said == [{"amperes": 16.5}]


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
    await home.advance(3 * 60)
    assert len(said) == 1, "it may come back"
    await home.advance(60)
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


async def test_surplus_is_not_gone_before_the_first_reading(home: Metered) -> None:
    home.meter.shown_power = -3000
    await home.live(minutes=1)
    port = home.reader.port
    await home.reader.stop()
    await home.advance(600)
    home.hass.set_state(CoreState.not_running)
    said = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.hass.async_start()
    await home.advance(60)
    assert said == []
    await home.return_reader(port)
    await home.live(minutes=1)
    assert said == [{"on": 3000}]


async def test_surplus_is_gone_without_a_reading_after_a_start(home: Metered) -> None:
    await home.reader.stop()
    await home.advance(600)
    home.hass.set_state(CoreState.not_running)
    said = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.hass.async_start()
    await home.advance(100)
    assert said == []
    await home.advance(40)
    assert said == [{"off": None}]


async def test_surplus_is_used_when_the_automation_was_changed(home: Metered) -> None:
    home.meter.shown_power = -1900
    await home.live(minutes=1)
    said = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.live(minutes=3)
    assert said == []
    await home.change_automation(start=1500)
    await home.live(minutes=1)
    assert said == [{"on": 1900}]
    await home.reload_automations()
    await home.live(minutes=3)
    assert len(said) == 1


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


@pytest.mark.parametrize(("after_interruption", "expected"), [(False, []), (True, [{"tariff": "T2"}])])
async def test_tariff_is_told_after_a_start_to_those_who_want_it(
    home: Metered, *, after_interruption: bool, expected: list[dict[str, str]]
) -> None:
    home.meter.shown_tariff = 2
    await home.live(minutes=1)
    home.hass.set_state(CoreState.not_running)
    said = await home.automate(
        "tariff_changed",
        active_tariff=home.entity("_active_tariff"),
        after_interruption=after_interruption,
        tariffs=["2"],
        actions=TARIFF,
    )
    await home.hass.async_start()
    await home.live(minutes=1)
    assert said == expected
