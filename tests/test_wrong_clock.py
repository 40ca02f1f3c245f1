"""A clock of Home Assistant that is wrong at its start, and set right later by a time server."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, CONF_POWER_TARIFF, TariffKey as K

from .conftest import MakeTimeLapse
from .test_power_tariff import HOURLY, Loads, at, counted, draw, intervals, shown
from .time_lapse import TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "power_tariff/*", "statistics.py", "registers.py", "wall_clock.py", "tests/time_lapse.py"
    ),
]

# The clock went on where it had been when the power went.
STOOD_STILL = timedelta(hours=-2, minutes=-14)
# It has no battery.
YEARS_BEHIND = timedelta(days=-20_000)
# Home Assistant's own timers would wait for that time, so it is restarted.
YEARS_AHEAD = timedelta(days=400)


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return days of a house with a power tariff."""
    house = Loads(clock=at("05:30:00"), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        # The recorder compiles all five minutes that it has missed, of as many days as it keeps.
        time_lapse.recorder_options = {"purge_keep_days": 1}
        yield time_lapse


@pytest.mark.parametrize(
    ("error", "restarts"),
    [
        pytest.param(STOOD_STILL, False, id="stood still"),
        pytest.param(STOOD_STILL, True, id="stood still, restarting"),
        pytest.param(YEARS_BEHIND, False, id="years behind"),
        pytest.param(YEARS_BEHIND, True, id="years behind, restarting"),
        pytest.param(YEARS_AHEAD, True, id="years ahead, restarting"),
    ],
)
async def test_peaks_are_counted_once_the_clock_is_right(
    time_lapse: TimeLapse, error: timedelta, *, restarts: bool
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
    if restarts:
        await time_lapse.stop()
    time_lapse.set_clock(timedelta())
    if restarts:
        await time_lapse.start()
    await draw(time_lapse, 1000, at("12:00:00"))
    await draw(time_lapse, 4000, at("13:00:00"))
    await draw(time_lapse, 1000, at("13:05:30"))
    expected = [
        ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=0.005)),
        ("10T13:00", pytest.approx(counted(time_lapse, at("12:00:00")), abs=0.005)),
    ]
    assert intervals(time_lapse) == expected
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] <= 4
    await time_lapse.stop()
    await time_lapse.start()
    await draw(time_lapse, 1000, at("13:12:00"))
    assert intervals(time_lapse) == expected
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] <= 4


async def test_outage_after_a_clock_that_was_ahead_is_no_peak(time_lapse: TimeLapse) -> None:
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
    # In one hour it would be the highest peak.
    await draw(time_lapse, 3000, at("11:35:00"))
    await time_lapse.start()
    await draw(time_lapse, 1000, at("12:00:00"))
    await draw(time_lapse, 4000, at("13:00:00"))
    await draw(time_lapse, 1000, at("13:05:30"))
    assert intervals(time_lapse) == [
        ("10T08:00", pytest.approx(counted(time_lapse, at("07:00:00")), abs=0.005)),
        ("10T13:00", pytest.approx(counted(time_lapse, at("12:00:00")), abs=0.005)),
    ]
    # The reader stores the hours, which count whether or not the statistics are corrected.
    assert shown(time_lapse, K.PEAK_DEMAND).attributes["missed"] == 0
