"""A day with a power tariff by the hour: *Demand* stays within the power, and the picture of the docs.

`scripts/measure tariff --day` draws the picture.
"""

from datetime import datetime, timedelta
from pathlib import Path

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey as K
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import HOUR, start_of
from measure import tariff_day
from measure.tariff_day import Moment

from .conftest import MakeTimeLapse
from .test_power_tariff import shown
from .test_power_tariff_year import STOCKHOLM, TARIFFS, house_in_stockholm, local
from .time_lapse import TimeLapse

DAY = timedelta(days=1)

# A Wednesday. The peaks of the two days before determine the demand limit.
START = local(2027, 1, 20, "00:00:00")


def kilowatts(time_lapse: TimeLapse, key: K) -> float | None:
    state = shown(time_lapse, key).state
    return None if state in (STATE_UNKNOWN, STATE_UNAVAILABLE) else float(state)


def moment(time_lapse: TimeLapse) -> Moment:
    power = time_lapse.entry.runtime_data.coordinator.data.values[M.ACTIVE_POWER_IMPORT]
    keys = (K.DEMAND, K.EXPECTED_DEMAND, K.DEMAND_LIMIT)
    return Moment(time_lapse.now, float(power) / 1000, *(kilowatts(time_lapse, key) for key in keys))


@pytest.mark.weekly
@pytest.mark.timeout(1800)
async def test_demand_of_a_day_is_within_the_power(
    make_time_lapse: MakeTimeLapse, pytestconfig: pytest.Config
) -> None:
    house = house_in_stockholm(START - 2 * DAY)
    moments: list[Moment] = []
    powers: dict[datetime, list[float]] = {}
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.has_recorder = False
        # A few telegrams are enough for the days before.
        time_lapse.interval = timedelta(seconds=225)
        time_lapse.options = {CONF_POWER_TARIFF: TARIFFS["hours"]}
        await time_lapse.start()
        await time_lapse.run_until(START)
        time_lapse.interval = timedelta(minutes=1)
        await time_lapse.run_until(START + time_lapse.interval - time_lapse.before_the_end)
        while time_lapse.now < START + DAY:
            moments.append(moment(time_lapse))
            powers.setdefault(start_of(time_lapse.now, HOUR), []).append(moments[-1].power)
            received, demand = powers[start_of(time_lapse.now, HOUR)], moments[-1].demand
            assert demand is not None
            # States are whole W.
            assert min(received) - 0.001 <= demand <= max(received) + 0.001
            await time_lapse.run_until(time_lapse.now + time_lapse.interval)
    assert len(moments) == DAY // timedelta(minutes=1)
    assert any(each.limit is not None for each in moments)
    if path := pytestconfig.getoption("--tariff-picture"):
        tariff_day.write(Path(path), START.astimezone(STOCKHOLM), moments)
