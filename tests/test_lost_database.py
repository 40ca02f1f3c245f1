"""A database that is damaged, deleted or cleared while Home Assistant runs, and a disabled recorder."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from homeassistant.helpers.recorder import get_instance
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey

from .conftest import MakeTimeLapse
from .test_backfill import at, check_hours, run_past_hours
from .test_power_tariff import HOURLY, shown
from .time_lapse import REGISTERS, TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow("statistics.py", "sum_reset.py", "tests/time_lapse.py"),
]


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse, tmp_path: Path) -> AsyncGenerator[TimeLapse]:
    """Return a home with a power tariff, and a database in a folder of the test."""
    async with make_time_lapse(f"sqlite:///{tmp_path}/home.db") as time_lapse:
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        yield time_lapse


def overwrite(database: Path) -> None:
    database.write_bytes(b"x" * database.stat().st_size)


def truncate(database: Path) -> None:
    database.write_bytes(b"")


def remove_all(folder: Path) -> None:
    for file in folder.glob("home.db*"):
        file.unlink()


@pytest.mark.parametrize("lose", [overwrite, truncate, Path.unlink], ids=["overwrite", "truncate", "delete"])
async def test_sensors_work_after_the_database_is_lost(
    time_lapse: TimeLapse, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    lose(tmp_path / "home.db")
    # The recorder cannot be settled while it cannot read.
    time_lapse.recorder_is_locked = True
    await time_lapse.run_until(at("10:20:00"))
    states = [time_lapse.hass.states.get(time_lapse.sensor(register)) for register in REGISTERS]
    assert [float(state.state) * 1000 for state in states if state] == pytest.approx(
        time_lapse.meter_registers, abs=50
    )
    assert float(shown(time_lapse, PowerTariffKey.PEAK_DEMAND).state) > 0
    await time_lapse.crash()
    remove_all(tmp_path)
    time_lapse.recorder_is_locked = False
    await time_lapse.start()
    await run_past_hours(time_lapse, 3)
    await check_hours(time_lapse, at("11:00:00"))


async def clear(time_lapse: TimeLapse) -> None:
    get_instance(time_lapse.hass).async_clear_statistics([time_lapse.sensor(each) for each in REGISTERS])
    await time_lapse.settle()


async def disable(time_lapse: TimeLapse) -> None:
    await time_lapse.hass.services.async_call("recorder", "disable", blocking=True)
    await time_lapse.run_for(hours=2)
    await time_lapse.hass.services.async_call("recorder", "enable", blocking=True)


@pytest.mark.parametrize("lose", [clear, disable])
@pytest.mark.parametrize("is_offline", [False, True], ids=["online", "offline"])
async def test_hours_are_right_after_statistics_are_lost(
    time_lapse: TimeLapse, lose: Callable[[TimeLapse], Awaitable[None]], *, is_offline: bool
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    if is_offline:
        await time_lapse.disconnect_reader()
        await time_lapse.run_until(at("08:41:20"))
    await lose(time_lapse)
    if is_offline:
        await time_lapse.run_until(at("11:41:20"))
        await time_lapse.reconnect_reader()
    await run_past_hours(time_lapse, 3)
    # Cleared statistics begin with the next reading.
    begin = at("06:00:00") if lose is disable else at("12:00:00") if is_offline else at("08:00:00")
    assert (await check_hours(time_lapse, begin)).missed < 1e-3
