"""Memory of Home Assistant after many reloads, and after a month. The log shows what was measured:

scripts/test -m '' --log-cli-level=INFO tests/test_memory_use.py
"""

from collections import Counter
from datetime import timedelta
import gc
import logging
import sys
from typing import Any, NamedTuple

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF

from .conftest import MakeTimeLapse
from .home_assistant import entry_for, tick
from .leftovers import living_objects
from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .test_power_tariff import HOURLY, at
from .waiting import until

pytestmark = [pytest.mark.weekly, pytest.mark.timeout(900)]

_LOGGER = logging.getLogger(__name__)

RELOADS = 200
DAYS = 30

# Containers, per reload of both readers and per day. A coordinator with its entities has 1,000 and more. A
# day adds a peak for each hour.
MAX_GROWTH = 150


class Use(NamedTuple):
    """Memory that the process uses."""

    blocks: int
    """Allocated blocks, of any size."""

    containers: Counter[str]
    """Number of objects that the garbage collector knows, by type."""


def measured() -> Use:
    gc.collect()
    return Use(sys.getallocatedblocks(), Counter(type(each).__name__ for each in gc.get_objects()))


def growth(before: Use, times: int, what: str) -> float:
    """Log what has grown, and return the number of additional containers for each time."""
    blocks, containers = measured()
    more = containers.total() - before.containers.total()
    most = Counter({name: count - before.containers[name] for name, count in containers.items()}).most_common(
        5
    )
    _LOGGER.info(
        "%s %s: for each %.1f blocks and %.1f containers more; the most: %s",
        times,
        what,
        (blocks - before.blocks) / times,
        more / times,
        most,
    )
    return more / times


@pytest.fixture
def hass_storage() -> dict[str, Any]:
    """Write real files, because the fixture of this name keeps everything that was ever saved."""
    return {}


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Keep the files in a folder of the test."""
    return hass_tmp_config_dir


def log_errors_only(caplog: pytest.LogCaptureFixture) -> None:
    """Log no more than errors, because pytest keeps each record."""
    for logger in ("custom_components.energy_sse", "homeassistant", "aiohttp", "asyncio"):
        caplog.set_level(logging.ERROR, logger)


async def test_memory_stays_the_same_over_reloads(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_errors_only(caplog)
    entries = [entry_for(reader) for reader in (whatwatt, currentlyone)]
    for entry in entries:
        entry.add_to_hass(hass)
        hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {"enabled": True}})
        assert await hass.config_entries.async_setup(entry.entry_id)

    async def reload(times: int) -> None:
        for _ in range(times):
            for entry in entries:
                assert await hass.config_entries.async_reload(entry.entry_id)
            await until(lambda: whatwatt.streams and currentlyone.streams)
            for reader in (whatwatt, currentlyone):
                await tick(hass, reader)

    # Home Assistant fills its caches, and sensors for export are added when the sun shines.
    await reload(50)
    objects, before = living_objects(), measured()
    await reload(RELOADS)
    assert growth(before, RELOADS, "reloads of two entries") < MAX_GROWTH
    assert living_objects() == objects


async def test_memory_stays_the_same_over_a_month(
    make_time_lapse: MakeTimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_time_lapse(None, House(clock=at("05:30:00", day=1))) as time_lapse:
        log_errors_only(caplog)
        time_lapse.has_recorder = False
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        time_lapse.interval = timedelta(minutes=10)
        await time_lapse.start()
        await time_lapse.live(days=2)
        objects, before = living_objects(), measured()
        await time_lapse.live(days=DAYS)
        assert growth(before, DAYS, "days") < MAX_GROWTH
        assert living_objects() == objects
