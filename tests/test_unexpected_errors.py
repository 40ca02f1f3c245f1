"""Unexpected errors in any function that runs repeatedly."""

from collections import Counter
from collections.abc import AsyncGenerator
import logging

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse import registers, statistics, sum_reset
from custom_components.energy_sse.appliances import Appliance, Appliances
from custom_components.energy_sse.availability import Availability
from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey
from custom_components.energy_sse.coordinator import EnergySseCoordinator
from custom_components.energy_sse.power_tariff import current_interval, demand, tracker
from custom_components.energy_sse.reader import Measurement as M, RegisterValidator
from custom_components.energy_sse.readings import Readings
from custom_components.energy_sse.wall_clock import WallClock

from .conftest import MakeTimeLapse
from .error_injection import ErrorInjector, functions_of
from .home_assistant import set_up, settle, state_of
from .logs import logged_messages
from .simulators import CurrentlyOneSimulator
from .test_backfill import at
from .test_power_tariff import HOURLY, Loads, counted, draw, shown
from .time_lapse import HOUR, REGISTERS, TimeLapse
from .time_machine import TimeMachine

# Functions that are called once, while a reader is set up.
ONCE = ("__init__", "async_start")

# Functions that contain the errors of others, and timers.
GUARDS = ("_async_calculate", "_schedule", "_start", "_async_correct_all")

# Functions that Home Assistant calls to store data.
STORED = ("as_dict", "_as_dict", "remove_oldest")
COLLECTED = ("_registers_as_dict",)

pytestmark = [
    pytest.mark.errors,
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "reader/*",
        "coordinator.py",
        "registers.py",
        "statistics.py",
        "sum_reset.py",
        "wall_clock.py",
        "power_tariff/*",
        "tests/error_injection.py",
    ),
]


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return days of a house with a power tariff."""
    async with make_time_lapse(None, Loads(clock=at("05:30:00"), appliances=[])) as time_lapse:
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY | {"peaks": 1}}
        yield time_lapse


def logged_twice(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the errors that were logged more than once."""
    return [error for error, times in Counter(logged_messages(caplog, logging.ERROR)).items() if times > 1]


def lasting_tasks(time_lapse: TimeLapse) -> set[str]:
    """Return the names of the tasks that do not end."""
    tasks = time_lapse.entry._background_tasks  # noqa: SLF001 (no public access)
    return {task.get_name() for task in tasks} - {"energy_sse statistics"}


# Each seed raises the errors at other lines.
@pytest.mark.parametrize("seed", [0, 1, 5, 33])
async def test_statistics_and_peaks_are_right_after_any_error(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    corrects = (registers, statistics, sum_reset)
    counts = (demand, current_interval, tracker)
    injector = ErrorInjector(
        *(
            function
            for module in (*corrects, *counts)
            for function in functions_of(module, but=(*ONCE, *GUARDS, *STORED))
        ),
        chance=0.01,
        seed=seed,
    )
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    await time_lapse.stop()
    await time_lapse.run_until(at("10:20:00"))
    await time_lapse.start()
    tasks = lasting_tasks(time_lapse)
    with injector.raises():
        await time_lapse.run_until(at("13:10:00"))
    assert len(injector.places) > 20
    await time_lapse.run_until(at("14:00:00"))
    await draw(time_lapse, 9000, at("15:00:00"))
    await draw(time_lapse, 0, at("15:06:00"))
    assert lasting_tasks(time_lapse) == tasks
    for register in REGISTERS:
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        # The last telegram of an hour is sent before its end.
        recorded = {end: hours[end - HOUR].state for end in truth if end - HOUR in hours}
        assert len(recorded) == 10
        assert recorded == pytest.approx({end: truth[end] for end in recorded}, abs=3)
    peak = shown(time_lapse, PowerTariffKey.PEAK_DEMAND)
    # The last telegram of the hour is sent one second early: 2.5 Wh at 9 kW, and the registers are whole Wh.
    assert float(peak.state) == pytest.approx(counted(time_lapse, at("14:00:00")), abs=0.004)
    # Errors can lose readings of the hours from ten to one.
    assert peak.attributes["missed"] <= 4
    assert logged_twice(caplog) == []


async def test_readings_and_appliances_are_right_after_any_error(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def voltage() -> str:
        return state_of(hass, "sensor", f"{currentlyone.device_id}_{M.VOLTAGE_L1}").state

    entry = await set_up(hass, currentlyone)
    await settle(hass, entry, currentlyone)
    await hass.async_block_till_done()
    injector = ErrorInjector(
        *functions_of(
            EnergySseCoordinator, but=("__init__", "_async_setup", "_async_run", "async_restore", *COLLECTED)
        ),
        *(
            function
            for each in (
                Readings,
                WallClock,
                Availability,
                RegisterValidator,
                Appliances,
                Appliance,
            )
            for function in functions_of(
                each, but=("__init__", "__iter__", "_handle_expiry", "_try_update", "as_dict")
            )
        ),
        chance=0.03,
        times=3,
    )
    with injector.raises():
        for n in range(200):
            await currentlyone.tick()
            await currentlyone.switch("mocca_mast", ("on", "off")[n % 2])
            # Sometimes the meter sends no data for too long, and sometimes the stream ends.
            await time_machine.advance(150 if n % 20 == 0 else 10)
            if n % 30 == 0:
                currentlyone.end_streams()
                await time_machine.advance(60)
    assert len(injector.places) > 80
    assert logged_twice(caplog) == []
    while not currentlyone.streams:
        await time_machine.advance(10)
    await currentlyone.switch("mocca_mast", "on")
    await settle(hass, entry, currentlyone)
    await hass.async_block_till_done()
    assert voltage() == str(round(currentlyone.house.voltage[0], 3))
    assert state_of(hass, "binary_sensor", f"{currentlyone.device_id}:mocca_mast:running").state == "on"
    await currentlyone.stop()
    await time_machine.advance(301)
    assert voltage() == "unavailable"
