"""Memory of Home Assistant after many reloads, and after a month. The log shows the numbers:

scripts/test -m '' --log-cli-level=INFO tests/test_memory_use.py
"""

from collections import Counter
from datetime import timedelta
import gc
import logging
import sys
from typing import NamedTuple

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF

from .conftest import MakeTimeLapse
from .home_assistant import set_up, tick
from .remaining_objects import count_objects
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .test_power_tariff import HOURLY, at
from .wait import wait_until

pytestmark = [pytest.mark.weekly, pytest.mark.timeout(900), pytest.mark.stored_files]

_LOGGER = logging.getLogger(__name__)

RELOADS = 200
DAYS = 30

# Containers for each reload of both readers, and for each day. A coordinator with its entities has more than
# 1,000. A day adds a peak for each hour.
MAX_GROWTH = 150


class Use(NamedTuple):
    """Allocated blocks of any size, and objects that the garbage collector knows, by type."""

    blocks: int
    containers: Counter[str]


def measure() -> Use:
    gc.collect()
    return Use(sys.getallocatedblocks(), Counter(type(each).__name__ for each in gc.get_objects()))


def get_growth(before: Use, times: int, unit: str) -> float:
    """Log the growth, and return the number of additional containers for each reload or day."""
    now = measure()
    growth = (now.containers.total() - before.containers.total()) / times
    blocks = (now.blocks - before.blocks) / times
    most = (now.containers - before.containers).most_common(5)
    _LOGGER.info("%s %s: +%.1f blocks, +%.1f containers for each: %s", times, unit, blocks, growth, most)
    return growth


def log_errors_only(caplog: pytest.LogCaptureFixture) -> None:
    """Log only errors, because pytest keeps each record."""
    for logger in ("custom_components.energy_sse", "homeassistant", "aiohttp", "asyncio"):
        caplog.set_level(logging.ERROR, logger)


async def test_memory_does_not_grow_with_reloads(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_errors_only(caplog)
    options = {CONF_POWER_TARIFF: {"enabled": True}}
    entries = [await set_up(hass, reader, options=options) for reader in (whatwatt, currentlyone)]

    async def reload(times: int) -> None:
        for _ in range(times):
            for entry in entries:
                assert await hass.config_entries.async_reload(entry.entry_id)
            await wait_until(lambda: whatwatt.streams and currentlyone.streams)
            for reader in (whatwatt, currentlyone):
                await tick(hass, reader)

    # Home Assistant fills its caches, and entities of phases that export are added.
    await reload(50)
    objects, before = count_objects(), measure()
    await reload(RELOADS)
    assert get_growth(before, RELOADS, "reloads") < MAX_GROWTH
    assert count_objects() == objects


async def test_memory_does_not_grow_in_a_month(
    make_time_lapse: MakeTimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_time_lapse(None, House(clock=at("05:30:00", day=1))) as time_lapse:
        log_errors_only(caplog)
        time_lapse.has_recorder = False
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        time_lapse.interval = timedelta(minutes=10)
        await time_lapse.start()
        await time_lapse.run_for(days=2)
        objects, before = count_objects(), measure()
        await time_lapse.run_for(days=DAYS)
        assert get_growth(before, DAYS, "days") < MAX_GROWTH
        assert count_objects() == objects
