"""Statistics while the recorder is locked, as during a backup, and the entry is reloaded."""

from collections.abc import AsyncGenerator

from homeassistant.helpers.recorder import get_instance
import pytest

from custom_components.energy_sse import statistics

from .conftest import MakeTimeLapse
from .test_backfill import at, live_past_full_hours
from .time_lapse import REGISTERS, TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow("statistics.py", "registers.py", "tests/time_lapse.py"),
]

_, EXPORT = REGISTERS


@pytest.fixture
async def time_lapse(
    make_time_lapse: MakeTimeLapse, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[TimeLapse]:
    """Return a house, and a corrector that soon stops waiting for the recorder."""
    monkeypatch.setattr(statistics, "_COMMIT_TIMEOUT", 0.5)
    async with make_time_lapse(None) as time_lapse:
        yield time_lapse


async def test_locked_recorder_gets_an_adjustment_once_after_reloads(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("08:06:30"))
    time_lapse.reader.house.active_export = {1: 3.0, 2: 0.0}
    # The recorder has counted the first register of the new meter as energy.
    await time_lapse.run_until(at("08:20:15"))
    (replacement,) = time_lapse.entry.runtime_data.coordinator.histories.by_register[EXPORT].replacements
    assert replacement.first > 50
    instance = get_instance(time_lapse.hass)
    assert await instance.lock_database()
    time_lapse.recorder_is_locked = True
    for _ in range(3):
        await time_lapse.live(seconds=12)
        await time_lapse.hass.config_entries.async_reload(time_lapse.entry.entry_id)
    assert instance.unlock_database()
    time_lapse.recorder_is_locked = False
    await live_past_full_hours(time_lapse, 2)
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    old = replacement.last - truth[at("08:00:00")]
    new = time_lapse.heard[EXPORT][at("09:00:00")] - replacement.first
    assert hours[at("08:00:00")].change == pytest.approx(old + new, abs=1)
