"""Detection and repair of sums that the recorder has reset to zero.

The recorder continues a sum from the last short-term statistics of a sensor. It keeps these for ten days, or
for as long as the user has chosen, unless the user purges them. After a longer absence or such a purge, the
sum starts at zero. Then the Energy dashboard shows an hour with the negative of all energy ever counted
(issue 87311 of Home Assistant). The correct sum follows from the register.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from homeassistant.components.recorder.statistics import get_last_statistics, get_metadata
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .issues import Issue, Issues
from .registers import HOUR

_LOCK: Final[HassKey[asyncio.Lock]] = HassKey(f"{DOMAIN}_sum_reset")

# Hours to read after each hour. Home Assistant can have been off since the hour in which the sum was reset.
ROWS: Final = 72

# Hours to read after a setup, to create the issues of earlier resets again. The issues are not persistent,
# because Home Assistant adds persistent issues to the diagnostics, with names of the reader and the sensor.
ROWS_AT_SETUP: Final = 90 * 24

# Number of checks, one per second, whether the recorder has raised the sums.
_CHECKS: Final = 5

# In the unit of the statistics: one Wh in kWh.
_ROUNDING: Final = 0.001


class StoredRow(NamedTuple):
    """Statistics of an hour, in the stored unit."""

    start: datetime
    state: float
    sum: float


class SumReset(NamedTuple):
    """Reset of a sum to zero between two rows."""

    before: StoredRow
    after: StoredRow

    @property
    def raise_by(self) -> float:
        """Energy, in the stored unit, that is missing in all sums since the reset."""
        return (self.before.sum - self.before.state) - (self.after.sum - self.after.state)


def find_sum_resets(rows: Sequence[StoredRow]) -> Iterator[SumReset]:
    """Yield the resets among the hours of a statistic."""
    for before, after in pairwise(rows):
        # A sum that started at zero is the register minus its first value, which is between the registers of
        # both rows. Any other difference is caused by the user or by a meter replacement.
        zero_point, reset = after.state - after.sum, SumReset(before, after)
        is_reset = before.state - _ROUNDING <= zero_point <= after.state + _ROUNDING
        if is_reset and after.sum < before.sum and reset.raise_by > _ROUNDING:
            yield reset


async def async_raise_sums(hass: HomeAssistant, statistic_id: str, start: datetime) -> bool:
    """Raise the sums of a statistic since a reset. Return whether the sums are correct now.

    `start` is the start of the first hour after the reset. Raises SQLAlchemyError, or RuntimeError if the
    recorder has stopped.
    """
    rows = ROWS + int((dt_util.utcnow() - start) / HOUR)
    # Two dialogs that are confirmed at once must not raise the sums twice.
    async with hass.data.setdefault(_LOCK, asyncio.Lock()):
        for check in range(_CHECKS):
            found = await async_read(hass, _read, {statistic_id}, rows)
            resets = [each for each in found if each[2].after.start == start]
            if not resets:
                return True
            if check == 0:
                _, unit, reset = resets[0]
                if not await async_is_idle(hass, statistic_id, unit, _CHECKS):
                    return False
                get_instance(hass).async_adjust_statistics(statistic_id, start, reset.raise_by, unit)
            await asyncio.sleep(1)
    return False


async def async_find_sum_resets(hass: HomeAssistant, entry: ConfigEntry, rows: int) -> None:
    """Create an issue for each reset in the last rows of the statistics of the sensors of an entry."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    # The user can rename a sensor, and its statistics with it.
    ids = {entity.entity_id: entity.id for entity in entities if entity.domain == "sensor"}
    found = await async_read(hass, _read, set(ids), rows)
    issues = Issues(hass, entry)
    for statistic_id, unit, reset in found:
        before, after = reset
        issues.async_create(
            Issue.SUM_RESET,
            suffix=f"_{ids[statistic_id]}_{after.start:%Y%m%d%H}",
            data={"entity": ids[statistic_id], "start": after.start.timestamp()},
            # Two decimals, because 1.234 means one thousand two hundred thirty-four in some languages.
            placeholders={
                "sensor": statistic_id,
                "last_reading": f"{dt_util.as_local(before.start + HOUR):%Y-%m-%d %H:%M}",
                "first_reading": f"{dt_util.as_local(after.start):%Y-%m-%d %H:%M}",
                "shown": f"{after.sum - before.sum:.2f} {unit}",
                "counted": f"{after.state - before.state:.2f} {unit}",
                "raise_by": f"{reset.raise_by:.2f} {unit}",
            },
        )


async def async_read[*Ts, T](hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts) -> T:
    """Call a function that reads the database in a thread of the recorder, and return its result.

    Home Assistant waits for this task before it stops, so that no thread reads from a closed database. Raises
    SQLAlchemyError, or RuntimeError if the recorder has stopped.
    """

    async def run() -> T:
        return await get_instance(hass).async_add_executor_job(read, hass, *args)

    return await hass.async_create_task(run(), "energy_sse database")


async def async_is_idle(hass: HomeAssistant, statistic_id: str, unit: str, seconds: float) -> bool:
    """Return whether the recorder processes its queue within some seconds.

    A locked recorder processes the queue later. Until then, sums must not be adjusted again.
    """
    instance = get_instance(hass)
    # This adjustment changes nothing. `async_block_till_done` returns at once while the queue is empty.
    instance.async_adjust_statistics(statistic_id, dt_util.utcnow(), 0.0, unit)
    try:
        async with asyncio.timeout(seconds):
            await instance.async_block_till_done()
    except TimeoutError:
        return False
    return True


def _read(hass: HomeAssistant, statistic_ids: set[str], number: int) -> list[tuple[str, str, SumReset]]:
    """Return the ids, units and resets of statistics. Runs in a thread of the recorder."""
    found: list[tuple[str, str, SumReset]] = []
    for statistic_id, (_, metadata) in get_metadata(hass, statistic_ids=statistic_ids).items():
        # The recorder removes the types that a statistic does not have from this set.
        types: set[Any] = {"state", "sum"}
        rows = get_last_statistics(hass, number, statistic_id, convert_units=False, types=types)
        resets = find_sum_resets(
            [
                StoredRow(dt_util.utc_from_timestamp(row["start"]), state, total)
                for row in reversed(rows.get(statistic_id, []))
                if (state := row.get("state")) is not None and (total := row.get("sum")) is not None
            ]
        )
        found += [(statistic_id, metadata["unit_of_measurement"] or "", reset) for reset in resets]
    return found
