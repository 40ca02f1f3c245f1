"""Blueprints in automations of a real Home Assistant, with simulated readers."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from homeassistant.components.blueprint import models, schemas
from homeassistant.core import HomeAssistant
from homeassistant.util.yaml import load_yaml_dict
import pytest

from ..conftest import Start
from ..home_assistant import set_up, tick
from ..simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from ..simulators.house import Appliance, State
from ..time_machine import TimeMachine
from ..wait import wait_until
from .home import FOLDER, ROOT, ControlledHouse, Home, MeterHome

pytestmark = pytest.mark.slow(
    "blueprints/*", "power_tariff/*", "binary_sensor.py", "tests/blueprints/home.py", "tests/time_machine.py"
)

BLUEPRINTS = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_home_assistant_imports_the_blueprint(name: str) -> None:
    blueprint = models.Blueprint(
        load_yaml_dict(str(FOLDER / name)),
        expected_domain="automation",
        path=name,
        schema=schemas.BLUEPRINT_SCHEMA,
    )
    assert blueprint.validate() is None
    assert str(blueprint.metadata["source_url"]).endswith(f"/blob/main/{(FOLDER / name).relative_to(ROOT)}")
    minimum = blueprint.metadata["homeassistant"]["min_version"]
    assert f'"homeassistant": "{minimum}"' in (ROOT / "hacs.json").read_text()


# -------------------------------------------------------------------------------------------- appliances


class Kitchen(Home[CurrentlyOneSimulator]):
    """A home with a dishwasher that a test controls."""

    @property
    def running(self) -> str:
        return self.entity(":dishwasher:running", "binary_sensor")

    async def turn(self, state: str) -> None:
        """Turn the dishwasher into a state, and wait until Home Assistant shows it."""
        await self.reader.switch("dishwasher", state)
        expected = "off" if state == "off" else "on"
        await wait_until(lambda: (entity := self.hass.states.get(self.running)) and entity.state == expected)
        await tick(self.hass, self.reader, 0)


@pytest.fixture
async def kitchen(hass: HomeAssistant, start: Start, time_machine: TimeMachine) -> AsyncGenerator[Kitchen]:
    """Return a home with a dishwasher that was on, and is off."""
    states = (
        State("off", 0, is_on=False),
        State("washing", 120, is_on=True),
        State("heating", 2100, is_on=True),
    )
    dishwasher = Appliance("dishwasher", "Dishwasher", "dishwashers", 1, states, (10**9,) * 3)
    reader = await start(CurrentlyOneSimulator(House(clock=datetime.now(UTC), appliances=[dishwasher])))
    await set_up(hass, reader)
    kitchen = Kitchen(hass, reader, time_machine)
    await tick(hass, reader)
    await kitchen.turn("washing")
    await kitchen.turn("off")
    # Two changes in one second are the same change for the device.
    await tick(hass, reader, 1)
    with pytest.MonkeyPatch.context() as patch:
        # An automation that waits for the end of a run does not end.
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        yield kitchen
        await kitchen.stop_automations()


# 2100 W for 6 minutes. The register of the reader has whole watt-hours.
AROUND_210 = pytest.approx(210, abs=1)

FINISHED = {"appliance": "{{ appliance }}", "minutes": "{{ minutes }}", "watt_hours": "{{ watt_hours }}"}


@pytest.mark.parametrize("unit", ["kWh", "Wh", "MWh"])
async def test_finished_appliance_has_its_duration_and_energy(kitchen: Kitchen, unit: str) -> None:
    await kitchen.show_in(kitchen.entity(":dishwasher:energy"), unit)
    calls = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn("washing")
    await kitchen.run(minutes=6)
    await kitchen.turn("heating")
    await kitchen.run(minutes=4)
    await kitchen.turn("off")
    await kitchen.run(minutes=2)
    assert calls == [], "it can start again"
    await kitchen.run(minutes=2)
    # 120 W for 6 minutes and 2100 W for 4.
    assert calls == [{"appliance": "Dishwasher", "minutes": 10, "watt_hours": pytest.approx(152, abs=1)}]


@pytest.mark.smoke
async def test_pause_does_not_end_a_run(kitchen: Kitchen) -> None:
    calls = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    for _ in range(2):
        await kitchen.turn("heating")
        await kitchen.run(minutes=3)
        await kitchen.turn("off")
        await kitchen.run(minutes=2)
    assert calls == []
    await kitchen.run(minutes=2)
    # From the first time on to the last time off.
    assert calls == [{"appliance": "Dishwasher", "minutes": 8, "watt_hours": AROUND_210}]


@pytest.mark.parametrize(
    ("state", "minutes"), [("heating", 4), ("washing", 6)], ids=["too short", "too little energy"]
)
async def test_short_or_weak_run_does_not_count(kitchen: Kitchen, state: str, minutes: int) -> None:
    calls = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn(state)
    await kitchen.run(minutes)
    await kitchen.turn("off")
    await kitchen.run(minutes=4)
    assert calls == []
    await kitchen.turn("heating")
    await kitchen.run(minutes=6)
    await kitchen.turn("off")
    await kitchen.run(minutes=4)
    assert len(calls) == 1, "the next run counts"


async def test_run_is_reported_after_a_start(kitchen: Kitchen) -> None:
    await kitchen.turn("heating")
    calls = await kitchen.automate_at_start("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.run(minutes=6)
    await kitchen.turn("off")
    await kitchen.run(minutes=4)
    assert calls == [{"appliance": "Dishwasher", "minutes": 6, "watt_hours": AROUND_210}]


async def test_run_is_reported_after_a_change(kitchen: Kitchen) -> None:
    calls = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn("heating")
    await kitchen.run(minutes=1)
    await kitchen.change_automation(minimum_minutes=4)
    await kitchen.run(minutes=6)
    await kitchen.turn("off")
    await kitchen.run(minutes=4)
    assert [call["minutes"] for call in calls] == [6], "minutes count since the change"


async def test_run_with_an_outage_is_reported_once_completely(kitchen: Kitchen) -> None:
    calls = await kitchen.automate("appliance_finished", running=kitchen.running, actions=FINISHED)
    await kitchen.turn("heating")
    await kitchen.run(minutes=1)
    await kitchen.disconnect_reader(minutes=6)
    await kitchen.turn("off")
    await kitchen.run(minutes=4)
    assert [call["minutes"] for call in calls] == [7]
    assert calls[0]["watt_hours"] == pytest.approx(2100 * 7 / 60, abs=7)


LEFT_ON = {"appliance": "{{ appliance }}", "minutes": "{{ minutes }}"}


async def test_appliance_left_on_is_reported_once(kitchen: Kitchen) -> None:
    calls = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"minutes": 10}, actions=LEFT_ON
    )
    await kitchen.turn("heating")
    await kitchen.run(minutes=5)
    # The dishwasher stays on.
    await kitchen.turn("washing")
    await kitchen.run(minutes=4)
    assert calls == []
    await kitchen.run(minutes=3)
    # The automation checks it every minute.
    assert calls in ([{"appliance": "Dishwasher", "minutes": minutes}] for minutes in (10, 11))
    await kitchen.run(minutes=10)
    assert len(calls) == 1


async def test_appliance_turned_off_in_time_is_not_reported(kitchen: Kitchen) -> None:
    calls = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"minutes": 5}, actions=LEFT_ON
    )
    for _ in range(3):
        await kitchen.turn("heating")
        await kitchen.run(minutes=4)
        await kitchen.turn("off")
        await kitchen.run(minutes=2)
    assert calls == []


async def test_appliance_left_on_is_reported_once_after_a_change(kitchen: Kitchen) -> None:
    await kitchen.turn("heating")
    calls = await kitchen.automate(
        "appliance_left_on", running=kitchen.running, limit={"hours": 1}, actions=LEFT_ON
    )
    await kitchen.run(minutes=10)
    assert calls == []
    for minutes in (9, 8):
        await kitchen.change_automation(limit={"minutes": minutes})
        await kitchen.run(minutes=3)
        assert calls == [{"appliance": "Dishwasher", "minutes": 10}]


# --------------------------------------------------------------------------------------------- the meter


@pytest.fixture
async def home(hass: HomeAssistant, start: Start, time_machine: TimeMachine) -> AsyncGenerator[MeterHome]:
    """Return a home with a meter."""
    reader = await start(WhatwattSimulator(ControlledHouse(clock=datetime.now(UTC))))
    await set_up(hass, reader)
    await tick(hass, reader)
    home = MeterHome(hass, reader, time_machine)
    with pytest.MonkeyPatch.context() as patch:
        # An automation that waits does not end before the wait does.
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        yield home
        await home.stop_automations()


IMPORT = {"limit": 4000, "actions": {"watts": "{{ watts }}"}}


@pytest.mark.parametrize("unit", ["W", "kW"])
async def test_import_above_the_limit_is_reported_after_a_minute(home: MeterHome, unit: str) -> None:
    power = home.entity("_active_power_import")
    await home.show_in(power, unit)
    calls = await home.automate("import_above_limit", power=power, **IMPORT)
    home.meter.shown_power = 6000
    await home.run(minutes=2 / 3)
    home.meter.shown_power = 3900
    await home.run(minutes=1)
    assert calls == [], "a kettle is too short"
    home.meter.shown_power = 6000
    await home.run(minutes=5)
    assert calls == [{"watts": 6000}]
    home.meter.shown_power = 300
    await home.run(minutes=1)
    home.meter.shown_power = 4200
    await home.run(minutes=2)
    assert calls == [{"watts": 6000}, {"watts": 4200}]


async def test_import_above_the_limit_is_reported_after_an_outage(home: MeterHome) -> None:
    calls = await home.automate("import_above_limit", power=home.entity("_active_power_net"), **IMPORT)
    home.meter.shown_power = 5000
    await home.disconnect_reader(minutes=10)
    assert calls == []
    await home.run(minutes=2)
    assert calls == [{"watts": 5000}]
    home.meter.shown_power = -6000
    await home.run(minutes=3)
    assert len(calls) == 1, "export is not import"


async def test_import_above_the_limit_is_reported_after_a_start(home: MeterHome) -> None:
    home.meter.shown_power = 5000
    await home.run(minutes=1)
    calls = await home.automate_at_start(
        "import_above_limit", power=home.entity("_active_power_net"), **IMPORT
    )
    await home.run(minutes=2 / 3)
    assert calls == []
    await home.run(minutes=1)
    assert calls == [{"watts": 5000}]
    await home.reload_automations()
    await home.run(minutes=2)
    assert len(calls) == 1, "this automation was not changed"
    await home.change_automation(limit=4500)
    await home.run(minutes=2)
    assert len(calls) == 2


async def test_import_that_falls_after_a_start_is_not_reported(home: MeterHome) -> None:
    home.meter.shown_power = 5000
    await home.run(minutes=1)
    calls = await home.automate_at_start(
        "import_above_limit", power=home.entity("_active_power_net"), **IMPORT
    )
    for power in (3000, 5000, 3000):
        home.meter.shown_power = power
        await home.run(minutes=2 / 3)
    assert calls == []


async def test_voltage_is_reported_with_phase_and_direction(home: MeterHome) -> None:
    actions = {"sensor": "{{ sensor }}", "volts": "{{ volts | round }}", "direction": "{{ direction }}"}
    calls = await home.automate("voltage_out_of_band", voltages=home.phases("voltage"), actions=actions)
    home.meter.shown_voltages = (206, 253.1, 230)
    await home.run(minutes=2 / 3)
    home.meter.shown_voltages = (230, 253.1, 230)
    await home.run(minutes=1)
    assert calls == [{"sensor": "Meter Voltage L2", "volts": 253, "direction": "high"}]
    home.meter.shown_voltages = (203, 240, 203)
    await home.run(minutes=2)
    assert sorted((call["sensor"], call["direction"]) for call in calls[1:]) == [
        ("Meter Voltage L1", "low"),
        ("Meter Voltage L3", "low"),
    ]


@pytest.mark.parametrize("unit", ["W", "kW"])
async def test_phases_out_of_balance_are_reported(home: MeterHome, unit: str) -> None:
    powers = home.phases("active_power_net")
    await home.show_in(powers[0], unit)
    actions = {"highest": "{{ highest }}", "lowest": "{{ lowest }}", "amperes": "{{ amperes }}"}
    calls = await home.automate("phases_out_of_balance", powers=powers, actions=actions)
    home.meter.shown_currents = (18, 17, 18)
    await home.run(minutes=2)
    assert calls == [], "much, but balanced"
    home.meter.shown_currents = (18, 1.5, 4)
    await home.run(minutes=2 / 3)
    assert calls == []
    await home.run(minutes=1)
    assert calls == [{"highest": "Meter Net power L1", "lowest": "Meter Net power L2", "amperes": 16.5}]


async def test_phases_in_both_directions_are_out_of_balance(home: MeterHome) -> None:
    calls = await home.automate(
        "phases_out_of_balance",
        powers=home.phases("active_power_net"),
        limit=31,
        actions={"amperes": "{{ amperes }}"},
    )
    home.meter.shown_currents = (-16, 16, 0.5)
    await home.run(minutes=2)
    assert calls == [{"amperes": 32.0}]


async def test_phases_out_of_balance_are_reported_after_a_start(home: MeterHome) -> None:
    home.meter.shown_currents = (18, 1.5, 4)
    await home.run(minutes=1)
    calls = await home.automate_at_start(
        "phases_out_of_balance",
        powers=home.phases("active_power_net"),
        actions={"amperes": "{{ amperes }}"},
    )
    await home.run(minutes=2)
    assert calls == [{"amperes": 16.5}]


async def test_phases_are_in_balance_during_an_outage(home: MeterHome) -> None:
    home.meter.shown_currents = (15, 15, 15)
    await home.run(minutes=1)
    powers = home.phases("active_power_net")
    calls = await home.automate("phases_out_of_balance", powers=powers, limit=10, actions={"state": "bad"})
    await home.disconnect_reader(minutes=10)
    await home.run(minutes=2)
    assert calls == []


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
async def test_surplus_has_two_limits(home: MeterHome, unit: str) -> None:
    power = home.entity("_active_power_net")
    await home.show_in(power, unit)
    calls = await home.automate("solar_surplus", power=power, **SURPLUS)
    home.meter.shown_power = -2400
    await home.run(minutes=5 / 3)
    assert calls == [], "not for long enough yet"
    await home.run(minutes=1)
    assert calls == [{"on": 2400}]
    # The load that was turned on uses a part of the surplus.
    home.meter.shown_power = -600
    await home.run(minutes=5)
    home.meter.shown_power = 1500
    await home.run(minutes=5 / 3)
    home.meter.shown_power = -600
    await home.run(minutes=1)
    assert len(calls) == 1, "a cloud is too short"
    home.meter.shown_power = 300
    await home.run(minutes=8 / 3)
    assert calls == [{"on": 2400}, {"off": -300}]
    home.meter.shown_power = -1900
    await home.run(minutes=5)
    assert len(calls) == 2


async def test_surplus_ends_during_an_outage(home: MeterHome) -> None:
    calls = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    home.meter.shown_power = -3000
    await home.run(minutes=8 / 3)
    assert calls == [{"on": 3000}]
    await home.reader.stop()
    await home.advance(3 * 60)
    assert len(calls) == 1, "the reader can be back soon"
    await home.advance(60)
    assert calls == [{"on": 3000}, {"off": None}]


@pytest.mark.parametrize(
    ("power", "expected"),
    [(-3000, [{"on": 3000}]), (-1000, []), (200, [{"off": -200}])],
    ids=["surplus", "between", "none"],
)
async def test_surplus_is_reported_at_once_after_a_start(
    home: MeterHome, power: float, expected: list[dict[str, int]]
) -> None:
    home.meter.shown_power = power
    await home.run(minutes=1)
    calls = await home.automate_at_start("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.hass.async_block_till_done()
    assert calls == expected


async def test_surplus_does_not_end_before_the_first_reading(home: MeterHome) -> None:
    home.meter.shown_power = -3000
    await home.run(minutes=1)
    port = home.reader.port
    await home.reader.stop()
    await home.advance(600)
    calls = await home.automate_at_start("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.advance(60)
    assert calls == []
    await home.reconnect_reader(port)
    await home.run(minutes=1)
    assert calls == [{"on": 3000}]


async def test_surplus_ends_without_a_reading_after_a_start(home: MeterHome) -> None:
    await home.reader.stop()
    await home.advance(600)
    calls = await home.automate_at_start("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.advance(100)
    assert calls == []
    await home.advance(40)
    assert calls == [{"off": None}]


async def test_surplus_is_reported_after_a_change(home: MeterHome) -> None:
    home.meter.shown_power = -1900
    await home.run(minutes=1)
    calls = await home.automate("solar_surplus", power=home.entity("_active_power_net"), **SURPLUS)
    await home.run(minutes=3)
    assert calls == []
    await home.change_automation(start=1500)
    await home.run(minutes=1)
    assert calls == [{"on": 1900}]
    await home.reload_automations()
    await home.run(minutes=3)
    assert len(calls) == 1


# ----------------------------------------------------------------------------------------------- tariffs

TARIFF = {"tariff": "T{{ tariff }}"}


@pytest.mark.parametrize(
    ("tariffs", "expected"), [({}, ["T2", "T1"]), ({"tariffs": ["2"]}, ["T2"])], ids=["any", "only tariff 2"]
)
async def test_change_of_the_tariff_is_reported(
    home: MeterHome, tariffs: dict[str, list[str]], expected: list[str]
) -> None:
    active_tariff = home.entity("_active_tariff")
    calls = await home.automate("tariff_changed", active_tariff=active_tariff, actions=TARIFF, **tariffs)
    for tariff in (1, 2, 2, 1):
        home.meter.shown_tariff = tariff
        await home.run(minutes=1)
    assert [call["tariff"] for call in calls] == expected


@pytest.mark.parametrize("is_start", [False, True], ids=["outage", "start"])
@pytest.mark.parametrize(("after_interruption", "expected"), [(False, []), (True, [{"tariff": "T2"}])])
async def test_tariff_is_reported_after_an_outage_on_request(
    home: MeterHome, *, after_interruption: bool, expected: list[dict[str, str]], is_start: bool
) -> None:
    inputs = {
        "active_tariff": home.entity("_active_tariff"),
        "after_interruption": after_interruption,
        "actions": TARIFF,
    }
    if is_start:
        home.meter.shown_tariff = 2
        await home.run(minutes=1)
        calls = await home.automate_at_start("tariff_changed", tariffs=["2"], **inputs)
    else:
        calls = await home.automate("tariff_changed", **inputs)
        home.meter.shown_tariff = 2
        await home.disconnect_reader(minutes=10)
    await home.run(minutes=1)
    assert calls == expected
