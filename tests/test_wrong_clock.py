"""A clock of Home Assistant that is wrong at its start, and is corrected later by a time server."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, CONF_POWER_TARIFF, PowerTariffKey as K
from custom_components.energy_sse.reader import Measurement as M

from .conftest import MakeTimeLapse
from .test_power_tariff import HOURLY, Loads, at, counted, draw, intervals, shown
from .time_lapse import TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "power_tariff/*",
        "statistics.py",
        "registers.py",
        "histories.py",
        "wall_clock.py",
        "tests/time_lapse.py",
    ),
]

# The clock continued from the time of the power failure.
STOPPED = timedelta(hours=-2, minutes=-14)
# A clock without a battery.
YEARS_BEHIND = timedelta(days=-20_000)
# Home Assistant's own timers would wait for that time, so it is restarted.
YEARS_AHEAD = timedelta(days=400)


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return a home with a power tariff."""
    house = Loads(clock=at("05:30:00"), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        # The recorder compiles all five minutes that it has missed, for as many days as it keeps.
        time_lapse.recorder_options = {"purge_keep_days": 1}
        yield time_lapse


def check_register(time_lapse: TimeLapse) -> None:
    """Check that the sensor shows the register of the meter."""
    state = time_lapse.hass.states.get(time_lapse.sensor(M.ACTIVE_ENERGY_IMPORT))
    assert state is not None
    assert float(state.state) * 1000 == pytest.approx(time_lapse.meter_registers[0], abs=200)


@pytest.mark.parametrize(
    ("error", "restarts"),
    [
        pytest.param(STOPPED, False, id="stopped"),
        pytest.param(STOPPED, True, id="stopped, restarting"),
        pytest.param(timedelta(hours=2), False, id="hours ahead"),
        pytest.param(YEARS_BEHIND, False, id="years behind"),
        pytest.param(YEARS_BEHIND, True, id="years behind, restarting"),
        pytest.param(YEARS_AHEAD, True, id="years ahead, restarting"),
    ],
)
async def test_peaks_and_registers_are_right_after_a_wrong_clock(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture, error: timedelta, *, restarts: bool
) -> None:
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:00:00"))
    await draw(time_lapse, 5000, at("08:00:00"))
    await draw(time_lapse, 1000, at("08:57:20"))
    await time_lapse.stop()
    await draw(time_lapse, 1000, at("11:11:20"))
    time_lapse.set_clock(error)
    await time_lapse.start()
    await draw(time_lapse, 1000, at("11:20:00"))
    check_register(time_lapse)
    if restarts:
        await time_lapse.stop()
    time_lapse.set_clock(timedelta())
    if restarts:
        await time_lapse.start()
    await draw(time_lapse, 1000, at("12:00:00"))
    await draw(time_lapse, 4000, at("13:00:00"))
    await draw(time_lapse, 1000, at("13:05:30"))
    check_register(time_lapse)
    assert "A meter was replaced" not in caplog.text
    expected = [
        ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=0.005)),
        ("10T13:00", pytest.approx(counted(time_lapse, at("12:00:00")), abs=0.005)),
    ]
    assert intervals(time_lapse) == expected
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] <= 4
    await time_lapse.stop()
    received_at = time_lapse.stored("meter")["received_at"][M.ACTIVE_ENERGY_IMPORT]
    assert received_at == pytest.approx(time_lapse.now.timestamp(), abs=180)
    await time_lapse.start()
    await draw(time_lapse, 1000, at("13:12:00"))
    assert intervals(time_lapse) == expected
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] <= 4


async def test_outage_after_a_clock_that_was_ahead_is_not_a_peak(time_lapse: TimeLapse) -> None:
    time_lapse.options = {CONF_POWER_TARIFF: HOURLY, CONF_FILL_MISSED_HOURS: False}
    await time_lapse.start()
    await draw(time_lapse, 1000, at("07:00:00"))
    await draw(time_lapse, 5000, at("08:00:00"))
    await draw(time_lapse, 1000, at("08:25:00"))
    await time_lapse.stop()
    time_lapse.set_clock(YEARS_AHEAD)
    await time_lapse.start()
    await draw(time_lapse, 1000, at("08:35:00"))
    await time_lapse.stop()
    time_lapse.set_clock(timedelta())
    # If it was counted in one hour, it would be the highest peak.
    await draw(time_lapse, 3000, at("11:35:00"))
    await time_lapse.start()
    await draw(time_lapse, 1000, at("12:00:00"))
    await draw(time_lapse, 4000, at("13:00:00"))
    await draw(time_lapse, 1000, at("13:05:30"))
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=0.005)),
        ("10T13:00", pytest.approx(counted(time_lapse, at("12:00:00")), abs=0.005)),
    ]
    # The stored hours of the reader are billed even if the statistics are not corrected.
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0
