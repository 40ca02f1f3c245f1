"""Blueprint "Stay below the peak" in automations of a real Home Assistant, with a simulated reader."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, override

from homeassistant import loader
from homeassistant.components.switch import SwitchEntity
from homeassistant.components.water_heater import WaterHeaterEntity, WaterHeaterEntityFeature
from homeassistant.const import UnitOfTemperature
from homeassistant.core import (
    Context,
    CoreState,
    Event,
    EventStateChangedData,
    HomeAssistant,
    ServiceCall,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceNotFound
from homeassistant.helpers import restore_state
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_test_home_assistant,
    setup_test_component_platform,
)

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import Measurement

from ..conftest import Start
from ..home_assistant import entry_for, set_up, tick
from ..simulators import WhatwattSimulator
from ..time_machine import TimeMachine
from ..wait import wait_until
from .home import STEP, ControlledHouse, MeterHome

pytestmark = pytest.mark.slow(
    "blueprints/*", "power_tariff/*", "binary_sensor.py", "tests/blueprints/home.py", "tests/time_machine.py"
)

# Option of version 2, which is migrated at the setup.
TARIFF = {"enabled": True, "interval": "60", "peaks": 1, "one_per_day": False}


class Plug(SwitchEntity):
    """A plug that can be unreachable, and that can miss or reject commands."""

    _attr_should_poll = False

    def __init__(self, name: str, *, is_on: bool = True) -> None:
        self.entity_id = f"switch.{name}"
        self.commands: list[str] = []
        self.missed = 0
        """Number of the next commands without effect."""

        self.error: Exception | None = None
        """Error of each command."""

        self._attr_is_on = is_on

    async def async_turn_on(self, **_: Any) -> None:
        self._command("on")

    async def async_turn_off(self, **_: Any) -> None:
        self._command("off")

    def _command(self, state: str) -> None:
        self.commands.append(state)
        if self.error is not None:
            raise self.error
        if self.missed:
            self.missed -= 1
        else:
            self.press(state)

    def press(self, state: str) -> None:
        """Turn the plug on or off, as its button does."""
        self._attr_is_on = state == "on"
        self.async_write_ha_state()

    def set_reachable(self, *, is_reachable: bool) -> None:
        """Disconnect the plug from the network, or connect it again."""
        self._attr_available = is_reachable
        self.async_write_ha_state()


class WaterHeater(WaterHeaterEntity):
    """A water heater with modes."""

    _attr_should_poll = False
    _attr_temperature_unit = UnitOfTemperature.CELSIUS
    _attr_supported_features = WaterHeaterEntityFeature.OPERATION_MODE | WaterHeaterEntityFeature.ON_OFF
    _attr_current_operation = "High demand"

    def __init__(self) -> None:
        self.entity_id = "water_heater.heater"
        self._attr_operation_list = ["off", "eco", "High demand"]

    async def async_set_operation_mode(self, operation_mode: str) -> None:
        self._attr_current_operation = operation_mode
        self.async_write_ha_state()

    async def async_turn_on(self, **_: Any) -> None:
        await self.async_set_operation_mode("eco")

    async def async_turn_off(self, **_: Any) -> None:
        await self.async_set_operation_mode("off")


class TariffHome(MeterHome):
    """A home with a power tariff that has billed 2 kW so far, and loads that can be turned off."""

    power_of: Mapping[str, float]
    """W of each load while it is on."""

    turned: list[str]
    """Loads that were turned on and off, in order."""

    base = 500.0
    """W of everything else."""

    plugs: Mapping[str, Plug] = {}
    """Loads that can be unreachable, by entity."""

    @override
    def set_power(self) -> None:
        self.meter.shown_power = self.base + sum(
            watts for load, watts in self.power_of.items() if self._draws_power(load)
        )

    def _draws_power(self, load: str) -> bool:
        if plug := self.plugs.get(load):
            return plug.is_on is True
        return not self.hass.states.is_state(load, "off")

    async def run_until(self, minute: int) -> None:
        """Advance the time to a minute of the hour, with readings."""
        while datetime.now(UTC).minute != minute:
            await self.run(STEP / 60)

    async def run_to_next_interval(self) -> None:
        """Advance the time to 40 seconds after the interval, with readings.

        A peak has to be expected for a minute.
        """
        await self.run_until(0)
        await self.run(minutes=2 / 3)

    async def pass_until(self, minute: int) -> None:
        """Advance the time to a minute of the hour, without a reading."""
        minutes = (minute - datetime.now(UTC).minute - 1) % 60 + 1
        await self.advance(minutes * 60 - datetime.now(UTC).second)

    async def skip_to_next_interval(self) -> None:
        """Advance the time to 40 seconds after the interval, without a reading."""
        await self.pass_until(0)
        await self.advance(40)

    async def stay_below(self, **inputs: Any) -> list[dict[str, Any]]:
        """Add an automation from the blueprint. Return a list that fills with the data of its actions."""
        calls = await self.automate(
            "stay_below_peak",
            peak_expected=self.entity("_peak_expected", "binary_sensor"),
            loads=list(self.power_of),
            **{"actions": {"above": "{{ watts }}"}, **inputs},
        )

        @callback
        def record(event: Event[EventStateChangedData]) -> None:
            old, new = event.data["old_state"], event.data["new_state"]
            if old is not None and new is not None and old.state != new.state:
                self.turned.append(f"{new.object_id} {new.state}")

        async_track_state_change_event(self.hass, list(self.power_of), record)
        return calls

    async def add_plugs(self, **watts: float) -> tuple[Plug, ...]:
        """Add plugs, which are the first loads to be turned off."""
        plugs = tuple(map(Plug, watts))
        self.plugs = {plug.entity_id: plug for plug in plugs}
        setup_test_component_platform(self.hass, "switch", plugs)
        assert await async_setup_component(self.hass, "switch", {"switch": {"platform": "test"}})
        self.power_of = {**dict(zip(self.plugs, watts.values(), strict=True)), **self.power_of}
        return plugs

    @property
    def runs(self) -> int:
        """Number of runs of the automation that have not ended."""
        (automation,) = self.hass.states.async_all("automation")
        runs: int = automation.attributes["current"]
        return runs

    async def switch_as_user(self, load: str, service: str, user: MockUser | None = None) -> None:
        """Turn a load on or off as a user does."""
        context = Context(user_id=user and user.id)
        await self.hass.services.async_call(
            "homeassistant", service, {"entity_id": load}, blocking=True, context=context
        )


@pytest.fixture
async def home(
    hass: HomeAssistant,
    start: Start,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> AsyncGenerator[TariffHome]:
    """Return a home whose month bills 2 kW so far, some minutes after an hour."""
    reader = await start(WhatwattSimulator(ControlledHouse(clock=datetime.now(UTC))))
    assert await async_setup_component(hass, "homeassistant", {})
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    home = TariffHome(hass, reader, time_machine)
    add_hours(entry)
    hass.config_entries.async_update_entry(entry, options={"power_tariff": TARIFF}, version=2)
    await hass.config_entries.async_reload(entry.entry_id)
    loads = {"boiler": 4000.0, "sauna": 1000.0, "charger": 500.0}
    helpers = {load: {"initial": True} for load in loads}
    assert await async_setup_component(hass, "input_boolean", {"input_boolean": helpers})
    home.power_of = {f"input_boolean.{load}": watts for load, watts in loads.items()}
    home.turned = []
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)
    await wait_until(lambda: hass.states.is_state(home.entity("_demand_limit"), "2.0"))
    with pytest.MonkeyPatch.context() as patch:
        # An automation that waits for the end of an interval does not end before it.
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        yield home
        await home.stop_automations()


BOILER_AND_SAUNA = ["boiler off", "sauna off"]


def add_hours(entry: MockConfigEntry) -> None:
    """Add some hours of 2 kWh to the register history."""
    history = entry.runtime_data.coordinator.histories.by_register[Measurement.ACTIVE_ENERGY_IMPORT]
    assert history.last is not None
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    totals = {hour - timedelta(hours=n): history.last.total - 2000.0 * n for n in range(4)}
    history.boundaries |= totals


@pytest.mark.parametrize("unit", ["kW", "W"])
async def test_loads_are_turned_off_in_order_and_on_again(home: TariffHome, unit: str) -> None:
    await home.show_in(home.entity("_demand_limit"), unit)
    calls = await home.stay_below()
    await home.run(minutes=2 / 3)
    assert home.turned == [], "the peak has to be expected for a minute"
    # The loads draw 6 kW, and the limit is 2 kW.
    await home.run(minutes=9)
    assert home.turned == BOILER_AND_SAUNA
    await home.run_until(59)
    assert len(home.turned) == 2
    assert calls == []
    await home.run_to_next_interval()
    assert home.turned[2:] == ["boiler on", "sauna on"]


async def test_inputs_of_earlier_versions_are_ignored(home: TariffHome) -> None:
    inputs = {key: home.entity(f"_{key}") for key in ("expected_demand", "demand_limit")}
    await home.stay_below(**inputs)
    await home.run(minutes=9)
    assert home.turned == BOILER_AND_SAUNA


async def test_loads_stay_on_below_the_lowest_limit(home: TariffHome) -> None:
    entry = home.hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, home.reader.device_id)
    assert entry is not None
    (subentry,) = entry.subentries.values()
    home.hass.config_entries.async_update_subentry(entry, subentry, data={**subentry.data, "min_limit": 7})
    await wait_until(lambda: home.hass.states.is_state(home.entity("_demand_limit"), "7.0"))
    await wait_until(lambda: home.reader.streams)
    await home.stay_below()
    # The loads draw 6 kW, and the month has billed 2 kW so far.
    await home.run(minutes=9)
    assert home.turned == []


@pytest.mark.smoke
async def test_kettle_is_not_a_peak(home: TariffHome) -> None:
    for load in home.power_of:
        await home.switch_as_user(load, "turn_off")
    await home.run(minutes=1)
    await home.stay_below()
    for _ in range(3):
        home.base = 3000
        await home.run(minutes=2 / 3)
        home.base = 500
        await home.run(minutes=5)
    assert home.turned == []


async def test_loads_switched_by_a_user_keep_their_state(home: TariffHome) -> None:
    await home.switch_as_user("input_boolean.sauna", "turn_off")
    await home.stay_below()
    await home.run(minutes=5)
    assert home.turned == ["boiler off"]
    await home.switch_as_user("input_boolean.boiler", "turn_on")
    await home.run(minutes=5)
    assert home.turned[1:] == ["boiler on", "charger off"], "a user turned the boiler on"
    await home.skip_to_next_interval()
    assert home.turned[3:] == ["charger on"], "a user turned the sauna off"


@pytest.mark.smoke
async def test_later_peak_in_an_interval_turns_off_more(home: TariffHome) -> None:
    await home.stay_below()
    await home.run(minutes=9)
    assert home.turned == BOILER_AND_SAUNA
    home.base = 2000
    await home.run(minutes=15)
    assert home.turned[2:] == ["charger off"]


async def test_remaining_power_is_reported_once_an_interval(home: TariffHome) -> None:
    home.base = 3000
    calls = await home.stay_below()
    await home.run_until(0)
    assert len(calls) == 1
    assert 1000 < calls[0]["above"] < 1600, "everything else draws 3 kW, and the limit is 2 kW"
    await home.run(minutes=20)
    assert home.turned == [
        *(*BOILER_AND_SAUNA, "charger off"),
        *("boiler on", "sauna on", "charger on"),
        *(*BOILER_AND_SAUNA, "charger off"),
    ]
    assert len(calls) == 2


async def test_loads_are_turned_on_while_the_reader_is_offline(home: TariffHome) -> None:
    await home.stay_below()
    await home.run(minutes=5)
    await home.reader.stop()
    await home.advance(40 * 60)
    assert home.turned == BOILER_AND_SAUNA
    await home.advance(20 * 60)
    assert home.turned[2:] == ["boiler on", "sauna on"]


async def test_loads_are_turned_on_when_home_assistant_stops(home: TariffHome) -> None:
    await home.stay_below()
    await home.run(minutes=9)
    assert home.turned == BOILER_AND_SAUNA
    await home.hass.async_stop()
    assert home.turned[2:] == ["boiler on", "sauna on"]


async def test_next_load_is_turned_off_when_one_fails(home: TariffHome) -> None:
    @callback
    def fail(_call: ServiceCall) -> None:
        raise HomeAssistantError("No response.")

    for service in ("turn_off", "turn_on"):
        home.hass.services.async_register("light", service, fail)
    home.hass.states.async_set("light.garden", "on")
    home.power_of = {"light.garden": 0, "light.gone": 0, **home.power_of}
    await home.stay_below()
    await home.run(minutes=19)
    assert home.turned[:2] == BOILER_AND_SAUNA
    await home.skip_to_next_interval()
    turned_off = [each for each in home.turned if each.endswith(" off")]
    turned_on = home.turned[len(turned_off) :]
    assert turned_on == [each.replace("off", "on") for each in turned_off]


async def set_up_thermostat(home: TariffHome) -> None:
    """Add a thermostat, which is the first load to be turned off."""
    thermostat = {"platform": "generic_thermostat", "name": "Heat pump", "heater": "input_boolean.sauna"}
    climate = {**thermostat, "target_sensor": "sensor.room", "initial_hvac_mode": "heat"}
    assert await async_setup_component(home.hass, "climate", {"climate": climate})
    await home.hass.async_block_till_done()
    home.power_of = {"climate.heat_pump": 6000, **home.power_of}


async def test_thermostat_returns_to_its_mode(home: TariffHome) -> None:
    await set_up_thermostat(home)
    await home.stay_below()
    await home.run(minutes=5)
    assert home.turned[0] == "heat_pump off"
    await home.skip_to_next_interval()
    assert "heat_pump heat" in home.turned


# ------------------------------------------------------------------------------- commands without effect


@pytest.fixture
async def freezer(home: TariffHome) -> Plug:
    """Return the first load, which draws so much that a peak is expected only while it is on."""
    home.base = 300
    home.power_of = {}
    (freezer,) = await home.add_plugs(freezer=4000)
    return freezer


@pytest.fixture
async def turned_off(home: TariffHome, freezer: Plug) -> Plug:
    """Return the freezer, which the automation has turned off."""
    await home.stay_below()
    await home.run(minutes=5)
    assert freezer.commands == ["off"]
    return freezer


async def test_unreachable_load_is_turned_on_when_it_is_back(home: TariffHome, turned_off: Plug) -> None:
    turned_off.set_reachable(is_reachable=False)
    await home.pass_until(0)
    await home.pass_until(20)
    turned_off.set_reachable(is_reachable=True)
    await home.advance(100)
    assert turned_off.commands == ["off", "on"]
    await home.advance(100)
    assert not home.runs


async def test_command_to_turn_on_is_repeated_when_missed(home: TariffHome, turned_off: Plug) -> None:
    turned_off.missed = 2
    await home.pass_until(5)
    assert turned_off.commands == ["off", "on", "on", "on"]
    assert turned_off.is_on


ERRORS = (HomeAssistantError("No."), TimeoutError(), ServiceNotFound("shell_command", "on"))


@pytest.mark.parametrize("error", ERRORS, ids=type)
async def test_load_is_turned_on_after_an_hour_of_errors(
    home: TariffHome, turned_off: Plug, error: Exception
) -> None:
    turned_off.error = error
    await home.pass_until(1)
    await home.pass_until(0)
    assert 55 < len(turned_off.commands) < 65
    turned_off.error = None
    await home.advance(100)
    assert turned_off.is_on


async def test_command_to_turn_off_is_repeated_when_missed(home: TariffHome, freezer: Plug) -> None:
    freezer.missed = 2
    await home.stay_below()
    await home.run(minutes=5)
    assert freezer.commands == ["off", "off", "off"]
    assert not freezer.is_on
    await home.skip_to_next_interval()
    assert freezer.is_on


async def test_load_is_turned_off_when_it_is_back(home: TariffHome, freezer: Plug) -> None:
    freezer.missed = 1
    await home.stay_below()
    await home.run(minutes=4 / 3)
    assert freezer.commands == ["off"]
    freezer.set_reachable(is_reachable=False)
    await home.run(minutes=5)
    freezer.set_reachable(is_reachable=True)
    await home.run(minutes=2)
    assert freezer.commands == ["off", "off"]
    await home.skip_to_next_interval()
    assert freezer.is_on


async def test_load_is_turned_on_when_it_turned_off_late(home: TariffHome, freezer: Plug) -> None:
    freezer.missed = 10
    await home.run_until(55)
    await home.stay_below()
    await home.run_until(0)
    assert freezer.is_on
    freezer.missed = 0
    freezer.press("off")
    await home.advance(40)
    assert freezer.is_on


async def test_load_is_turned_on_when_its_state_was_outdated(home: TariffHome, freezer: Plug) -> None:
    await home.stay_below()
    await home.run(minutes=4 / 3)
    for state in ("on", "off"):
        freezer.press(state)
        await home.advance(10)
    await home.skip_to_next_interval()
    assert freezer.commands == ["off", "on"]


async def test_load_stays_off_while_a_peak_is_expected_again(home: TariffHome, turned_off: Plug) -> None:
    turned_off.set_reachable(is_reachable=False)
    await home.run_until(0)
    home.base = 6000
    await home.run(minutes=8)
    turned_off.set_reachable(is_reachable=True)
    await home.run(minutes=5)
    assert turned_off.commands == ["off"]
    await home.skip_to_next_interval()
    assert turned_off.commands == ["off", "on"]


async def test_load_is_turned_on_when_others_are_turned_off_again(home: TariffHome) -> None:
    home.base = 300
    home.power_of = {}
    freezer, boiler = await home.add_plugs(freezer=2000, boiler=4000)
    await home.stay_below()
    await home.run(minutes=10)
    assert (freezer.is_on, boiler.is_on) == (False, False)
    freezer.missed = 20
    await home.run_to_next_interval()
    assert (freezer.is_on, boiler.is_on) == (False, True)
    await home.run(minutes=10)
    assert (freezer.is_on, boiler.is_on) == (False, False)
    freezer.missed = 0
    await home.skip_to_next_interval()
    assert (freezer.is_on, boiler.is_on) == (True, True)
    assert boiler.commands == ["off", "on", "off", "on"]


async def test_repetition_ends_when_the_load_is_removed(home: TariffHome, turned_off: Plug) -> None:
    await turned_off.async_remove()
    await home.pass_until(1)
    await home.pass_until(0)
    await home.advance(100)
    assert not home.runs
    assert turned_off.commands == ["off"]


async def test_water_heater_returns_to_its_mode(home: TariffHome) -> None:
    heater = WaterHeater()
    setup_test_component_platform(home.hass, "water_heater", [heater])
    assert await async_setup_component(home.hass, "water_heater", {"water_heater": {"platform": "test"}})
    home.power_of = {heater.entity_id: 4000}
    await home.stay_below()
    await home.run(minutes=5)
    assert home.turned == ["heater off"]
    await home.skip_to_next_interval()
    assert home.turned == ["heater off", "heater High demand"]


# ------------------------------------------------------------------------------------- commands of a user


async def test_load_stays_off_when_it_was_turned_on_and_off(home: TariffHome, turned_off: Plug) -> None:
    turned_off.press("on")
    turned_off.press("off")
    await home.skip_to_next_interval()
    assert turned_off.commands == ["off"]


async def test_load_stays_off_when_a_user_turned_it_off(
    home: TariffHome, freezer: Plug, hass_admin_user: MockUser
) -> None:
    freezer.missed = 1
    await home.stay_below()
    await home.run(minutes=4 / 3)
    assert freezer.commands == ["off"]
    await home.switch_as_user(freezer.entity_id, "turn_off", hass_admin_user)
    await home.skip_to_next_interval()
    assert freezer.commands == ["off", "off"]


async def test_load_stays_off_when_it_turned_off_much_later(home: TariffHome, freezer: Plug) -> None:
    freezer.missed = 100
    await home.stay_below()
    await home.run(minutes=5)
    await home.pass_until(40)
    freezer.press("off")
    await home.skip_to_next_interval()
    assert "on" not in freezer.commands


async def test_load_stays_off_when_turned_off_after_the_interval(home: TariffHome, turned_off: Plug) -> None:
    await home.skip_to_next_interval()
    assert turned_off.is_on
    turned_off.press("off")
    await home.advance(600)
    assert not turned_off.is_on


async def test_load_stays_off_when_used_while_commands_fail(home: TariffHome, turned_off: Plug) -> None:
    turned_off.error = HomeAssistantError("No.")
    await home.pass_until(5)
    for state in ("on", "off"):
        turned_off.press(state)
        await home.advance(20)
    turned_off.error = None
    await home.advance(600)
    assert not turned_off.is_on


async def test_thermostat_stays_off_when_a_user_turned_it_off(home: TariffHome) -> None:
    await set_up_thermostat(home)
    await home.stay_below()
    await home.run(minutes=5)
    for mode in ("heat", "off"):
        data = {"entity_id": "climate.heat_pump", "hvac_mode": mode}
        await home.hass.services.async_call("climate", "set_hvac_mode", data, blocking=True)
        await home.run(minutes=1)
    await home.skip_to_next_interval()
    assert home.hass.states.is_state("climate.heat_pump", "off")


# ---------------------------------------------------------------------------------------- interruptions

HELPER = "input_text.turned_off"


async def add_helper(hass: HomeAssistant, hass_storage: dict[str, Any], max_length: int) -> None:
    """Add a text helper, as the frontend does."""
    helper = {"id": "turned_off", "name": "Turned off", "min": 0, "max": max_length, "mode": "text"}
    hass_storage["input_text"] = {"version": 1, "data": {"items": [helper]}}
    assert await async_setup_component(hass, "input_text", {})


@pytest.fixture
async def stored(home: TariffHome, freezer: Plug, hass_storage: dict[str, Any]) -> TariffHome:
    """Return a home in which the freezer is off, which a text helper stores."""
    await add_helper(home.hass, hass_storage, 255)
    await home.stay_below(text_helper=HELPER)
    await home.run(minutes=5)
    assert freezer.commands == ["off"]
    return home


async def test_helper_stores_the_loads_that_fit(home: TariffHome, hass_storage: dict[str, Any]) -> None:
    await add_helper(home.hass, hass_storage, 50)
    await home.stay_below(text_helper=HELPER)
    await home.run(minutes=9)
    assert home.turned == BOILER_AND_SAUNA
    helper = home.hass.states.get(HELPER)
    assert helper is not None
    end, *loads = helper.state.split(",")
    assert datetime.fromtimestamp(int(end), UTC) == datetime(2026, 11, 15, 12, tzinfo=UTC)
    assert loads == ["input_boolean.boiler=on"]
    await home.skip_to_next_interval()
    assert home.turned[2:] == ["boiler on", "sauna on"]
    assert home.hass.states.is_state(HELPER, "")


@asynccontextmanager
async def restart(
    home: TariffHome, hass_storage: dict[str, Any], time_machine: TimeMachine, *, is_power_cut: bool
) -> AsyncGenerator[tuple[TariffHome, Plug]]:
    """Start another Home Assistant a minute after this one has ended, with its stored data."""
    (entry,) = home.hass.config_entries.async_entries(DOMAIN)
    if is_power_cut:
        await home.stop_automations()
    await home.hass.async_stop(force=True)
    for state in hass_storage["core.restore_state"]["data"]:
        # The test package starts with empty registries.
        state.pop("entity_registry_id", None)
    await time_machine.advance(60)
    async with async_test_home_assistant(
        config_dir=home.hass.config.config_dir, initial_state=CoreState.not_running
    ) as hass:
        hass.data.pop(loader.DATA_CUSTOM_COMPONENTS)
        await restore_state.async_get(hass).async_load()
        for component in ("homeassistant", "input_text"):
            assert await async_setup_component(hass, component, {})
        entry = entry_for(home.reader, entry_id=entry.entry_id)
        entry.add_to_hass(hass)
        hass.config_entries.async_update_entry(entry, options={"power_tariff": TARIFF})
        assert await hass.config_entries.async_setup(entry.entry_id)
        home = TariffHome(hass, home.reader, time_machine)
        home.base, home.power_of, home.turned = 300, {}, []
        (freezer,) = await home.add_plugs(freezer=4000)
        await home.stay_below(text_helper=HELPER)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hass, "async_block_till_done", time_machine.idle)
            try:
                yield home, freezer
            finally:
                await home.stop_automations()
                await hass.async_stop(force=True)


async def test_load_is_turned_on_after_a_power_cut(
    stored: TariffHome, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    async with restart(stored, hass_storage, time_machine, is_power_cut=True) as (home, freezer):
        freezer.press("off")
        freezer.set_reachable(is_reachable=False)
        await home.hass.async_start()
        await home.run(minutes=5)
        freezer.set_reachable(is_reachable=True)
        await home.pass_until(59)
        assert not freezer.is_on, "the interval has not ended"
        await home.skip_to_next_interval()
        assert freezer.is_on


async def test_unreachable_load_is_turned_on_after_a_restart(
    stored: TariffHome, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    stored.plugs["switch.freezer"].set_reachable(is_reachable=False)
    async with restart(stored, hass_storage, time_machine, is_power_cut=False) as (home, freezer):
        freezer.press("off")
        await home.hass.async_start()
        await home.skip_to_next_interval()
        assert freezer.is_on


async def test_load_that_is_on_after_a_power_cut_stays_on(
    stored: TariffHome, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    async with restart(stored, hass_storage, time_machine, is_power_cut=True) as (home, freezer):
        await home.hass.async_start()
        await home.run(minutes=10)
        freezer.press("off")
        await home.skip_to_next_interval()
        assert freezer.commands == []


# The clock that has stored this end was years ahead.
WRONG_END = "2000000000,switch.freezer=on"


@pytest.mark.parametrize("text", [None, WRONG_END])
async def test_load_is_turned_on_after_disabling(stored: TariffHome, freezer: Plug, text: str | None) -> None:
    services = stored.hass.services
    await stored.stop_automations()
    if text is None:
        await stored.pass_until(5)
    else:
        data = {"entity_id": HELPER, "value": text}
        await services.async_call("input_text", "set_value", data, blocking=True)
    assert not freezer.is_on
    await services.async_call("automation", "turn_on", {"entity_id": "all"}, blocking=True)
    await stored.advance(140)
    assert freezer.is_on


async def test_load_is_turned_on_after_a_change_of_inputs(stored: TariffHome, freezer: Plug) -> None:
    await stored.change_automation(patience=60)
    await stored.skip_to_next_interval()
    assert freezer.is_on


async def test_load_stays_off_when_it_was_removed_from_inputs(stored: TariffHome, freezer: Plug) -> None:
    await stored.change_automation(loads=["input_boolean.sauna"])
    await stored.skip_to_next_interval()
    assert not freezer.is_on
    assert stored.hass.states.is_state(HELPER, "")


@pytest.mark.parametrize("duration", [{"minutes": 1}, {"seconds": "60"}, "00:01:00", 60], ids=str)
async def test_load_is_turned_off_when_a_peak_was_expected_before(
    home: TariffHome, freezer: Plug, duration: Any
) -> None:
    await home.run(minutes=5)
    assert home.hass.states.is_state(home.entity("_peak_expected", "binary_sensor"), "on")
    await home.stay_below(duration=duration)
    await home.run(minutes=7 / 3)
    assert freezer.commands == ["off"]


ACTIONS = {
    "long": {"delay": {"hours": 9}},
    "failing": {"action": "notify.removed"},
    "stopping": {"stop": "Enough."},
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())
async def test_actions_do_not_keep_loads_off(home: TariffHome, freezer: Plug, action: dict[str, Any]) -> None:
    home.base = 3000
    await home.stay_below(actions=[action])
    for _ in range(2):
        await home.run(minutes=8)
        assert not freezer.is_on
        await home.run_to_next_interval()
        assert freezer.is_on
