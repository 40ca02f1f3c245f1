"""Each blueprint in the realistic house, with its defaults."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from ..conftest import Start
from ..home_assistant import set_up, tick
from ..simulators import CurrentlyOneSimulator, WhatwattSimulator
from ..simulators.household import Household
from ..time_machine import TimeMachine
from ..wait import wait_until
from .home import FOLDER, Home, simulated_time

pytestmark = pytest.mark.slow("blueprints/*", "tests/blueprints/home.py", "tests/simulators/*")

type AnyHome = Home[WhatwattSimulator | CurrentlyOneSimulator]


def first_time(begin: str, condition: Callable[[Household], bool], minutes: int = 3) -> datetime:
    """Return the beginning of the first period in which a condition is true for some minutes."""
    house = Household(clock=datetime.fromisoformat(begin).replace(tzinfo=UTC))
    lasted = 0
    while lasted < minutes:
        list(house.advance(60))
        lasted = lasted + 1 if condition(house) else 0
    return house.clock - timedelta(minutes=minutes)


def is_on(appliance: str) -> Callable[[Household], bool]:
    """Return a condition that is true while an appliance is on."""
    return lambda house: any(each.id == appliance and each.index for each in house.appliances)


def spread(house: Household) -> float:
    """Return the difference between the highest and the lowest current of a phase, in A."""
    return (max(house.power) - min(house.power)) / 230


def power(home: AnyHome) -> dict[str, Any]:
    return {"power": home.entity("_active_power_net")}


def running(appliance: str) -> Callable[[AnyHome], dict[str, Any]]:
    return lambda home: {"running": home.entity(f":{appliance}:running", "binary_sensor")}


def phases(name: str, key: str) -> Callable[[AnyHome], dict[str, Any]]:
    return lambda home: {name: [home.entity(f"_{key}_l{phase}") for phase in (1, 2, 3)]}


# When the condition becomes true, the minutes within which the blueprint must fire, and its inputs.
CASES: dict[str, tuple[Callable[[], datetime], int, Callable[[AnyHome], dict[str, Any]]]] = {
    "appliance_finished": (
        lambda: first_time("2026-01-12T12:00", is_on("dishwasher")),
        95,
        running("dishwasher"),
    ),
    "appliance_left_on": (
        lambda: first_time("2026-01-12T12:00", is_on("car")),
        125,
        running("car"),
    ),
    "import_above_limit": (
        lambda: first_time("2026-01-12T12:00", lambda house: house.net_power > 5300),
        8,
        power,
    ),
    "phases_out_of_balance": (
        lambda: first_time("2026-01-12T12:00", lambda house: spread(house) > 18),
        8,
        phases("powers", "active_power_net"),
    ),
    "solar_surplus": (
        # Before there is any surplus.
        lambda: first_time("2026-05-01T04:00", lambda house: house.net_power < -500, 8),
        120,
        power,
    ),
    "tariff_changed": (
        lambda: first_time("2026-05-01T19:00", lambda house: house.tariff == 2),
        8,
        lambda home: {"active_tariff": home.entity("_active_tariff")},
    ),
    "voltage_out_of_band": (
        lambda: first_time("2026-05-01T08:00", lambda house: min(house.voltage) > 254),
        8,
        phases("voltages", "voltage"),
    ),
}


def hour_before_a_peak() -> datetime:
    """Return the start of an hour whose demand the next one exceeds."""
    house = Household(clock=datetime(2026, 1, 12, 14, tzinfo=UTC))
    energies: list[float] = []
    while len(energies) < 2 or energies[-1] < max(3000, 1.5 * energies[-2]):
        before = sum(house.active_import.values())
        list(house.advance(3600))
        energies.append(sum(house.active_import.values()) - before)
    return house.clock - timedelta(hours=2)


@pytest.fixture
def begin(request: pytest.FixtureRequest) -> datetime:
    """Return a time two minutes before the blueprint fires, or before the hour that sets its limit."""
    if callspec := getattr(request.node, "callspec", None):
        moment: datetime = CASES[callspec.params["blueprint"]][0]()
    else:
        moment = hour_before_a_peak()
    return moment - timedelta(minutes=2)


@pytest.fixture(autouse=True)
async def time_machine(caplog: pytest.LogCaptureFixture, begin: datetime) -> AsyncGenerator[TimeMachine]:
    """Return the control of all clocks. It must be set up before any code reads a clock."""
    with simulated_time(caplog, begin) as time_machine:
        yield time_machine


def test_each_blueprint_is_tested() -> None:
    assert CASES.keys() | {"stay_below_peak"} == {path.stem for path in FOLDER.iterdir()}


@pytest.mark.parametrize("blueprint", CASES)
async def test_blueprint_fires_with_its_defaults(
    hass: HomeAssistant, start: Start, time_machine: TimeMachine, begin: datetime, blueprint: str
) -> None:
    _, minutes, inputs_of = CASES[blueprint]
    simulator = CurrentlyOneSimulator if blueprint.startswith("appliance") else WhatwattSimulator
    reader = await start(simulator(Household(clock=begin)))
    await set_up(hass, reader)
    await tick(hass, reader)
    await wait_until(lambda: hass.states.async_all("sensor"))
    home = Home(hass, reader, time_machine)
    inputs = inputs_of(home)
    actions = ("start_actions", "stop_actions") if blueprint == "solar_surplus" else ("actions",)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        calls = await home.automate(blueprint, **inputs, **{name: {"called": name} for name in actions})
        for _ in range(minutes):
            await home.run(minutes=1)
            if calls:
                break
        assert calls[:1] == [{"called": actions[0]}]
        await home.stop_automations()


async def test_stay_below_peak_fires_with_its_defaults(
    hass: HomeAssistant, start: Start, time_machine: TimeMachine, begin: datetime
) -> None:
    reader = await start(WhatwattSimulator(Household(clock=begin)))
    assert await async_setup_component(hass, "homeassistant", {})
    assert await async_setup_component(
        hass, "input_boolean", {"input_boolean": {"boiler": {"initial": True}}}
    )
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    # The highest hour of the month.
    tariff = {"enabled": True, "interval": "60", "peaks": 1, "one_per_day": False}
    hass.config_entries.async_update_entry(entry, options={"power_tariff": tariff}, version=2)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)
    home = Home(hass, reader, time_machine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hass, "async_block_till_done", time_machine.idle)
        peak_expected = home.entity("_peak_expected", "binary_sensor")
        await home.automate("stay_below_peak", peak_expected=peak_expected, loads=["input_boolean.boiler"])
        for _ in range(122):
            await home.run(minutes=1)
            if hass.states.is_state("input_boolean.boiler", "off"):
                break
        assert hass.states.is_state("input_boolean.boiler", "off")
        await home.stop_automations()
