"""The blueprint "Stay below the peak", run by Home Assistant's own automations on a simulated reader."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, override

from homeassistant.core import Event, EventStateChangedData, HomeAssistant, ServiceCall, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.reader import Measurement

from .conftest import Start
from .home_assistant import set_up, tick
from .household import STEP, Metered, TellingHouse, simulated_time
from .readers import WhatwattSimulator
from .time_machine import TimeMachine
from .waiting import until

pytestmark = pytest.mark.slow(
    "blueprints/*", "power_tariff/*", "binary_sensor.py", "tests/household.py", "tests/time_machine.py"
)


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Return a configuration of its own, for blueprints to be imported into."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
async def time_machine(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[TimeMachine]:
    """Return control over all clocks, before anything reads one."""
    with simulated_time(caplog) as time_machine:
        yield time_machine


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
