"""Finds sums that were reset to zero, and raises them when the user confirms.

The recorder continues a sum from the last five minutes of a sensor, and keeps these for ten days, or for as
long as the user has chosen, unless the user purges them all. After a longer absence or such a purge, the sum
starts at zero, and the Energy dashboard shows an hour of minus all energy ever counted (issue 87311 of Home
Assistant). The register shows the right sum.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from homeassistant.components.recorder.statistics import get_last_statistics, get_metadata
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .coordinator import EnergySseConfigEntry
from .database import async_is_idle, async_read
from .registers import HOUR

# Translation key, and prefix of the issue ids.
ISSUE: Final = "sum_restart"

_LOCK: Final[HassKey[asyncio.Lock]] = HassKey(f"{DOMAIN}_{ISSUE}")

# Hours. The hour of the return shows the reset. Home Assistant may have been off since.
_ROWS: Final = 72

# Once a second, after the recorder was asked to raise the sums.
_CHECKS: Final = 5

# In the unit of the statistics: one Wh in kWh.
_ROUNDING: Final = 0.001


class Row(NamedTuple):
    """Statistics of an hour, in the stored unit."""

    start: datetime
    state: float
    sum: float


class Restart(NamedTuple):
    """Sum that was reset to zero between two rows."""

    before: Row
    after: Row

    @property
    def raise_by(self) -> float:
        """Energy that is missing in all sums since the reset."""
        return (self.before.sum - self.before.state) - (self.after.sum - self.after.state)


def find_restarts(rows: Sequence[Row]) -> Iterator[Restart]:
    """Yield the resets among the hours of a statistic."""
    for before, after in pairwise(rows):
        # A sum that started at zero is the register minus its first value, which the meter passed since the
        # row before. Any other difference was made by the user, or by a meter replacement.
        zero_point, restart = after.state - after.sum, Restart(before, after)
        is_reset = before.state - _ROUNDING <= zero_point <= after.state + _ROUNDING
        if is_reset and after.sum < before.sum and restart.raise_by > _ROUNDING:
            yield restart


async def async_raise_sums(hass: HomeAssistant, statistic_id: str, start: datetime) -> bool:
    """Raise the sums of a statistic since a reset. Return whether the reset is gone."""
    # Two dialogs that are confirmed at once must not raise the sums twice.
    async with hass.data.setdefault(_LOCK, asyncio.Lock()):
        return await _async_raise_sums(hass, statistic_id, start)


async def _async_raise_sums(hass: HomeAssistant, statistic_id: str, start: datetime) -> bool:
    rows = _ROWS + int((dt_util.utcnow() - start) / HOUR)
    for check in range(_CHECKS):
        found = await async_read(hass, _read, {statistic_id}, rows)
        restarts = [each for each in found if each[2].after.start == start]
        if not restarts:
            return True
        if check == 0:
            _, unit, restart = restarts[0]
            if not await async_is_idle(hass, statistic_id, unit, _CHECKS):
                return False
            get_instance(hass).async_adjust_statistics(statistic_id, start, restart.raise_by, unit)
        await asyncio.sleep(1)
    return False


async def async_look(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Create an issue for each reset among the statistics of the sensors of an entry."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    # The user can rename a sensor, and its statistics with it.
    ids = {entity.entity_id: entity.id for entity in entities if entity.domain == "sensor"}
    found = await async_read(hass, _read, set(ids), _ROWS)
    for statistic_id, unit, restart in found:
        before, after = restart
        ir.async_create_issue(
            hass,
            DOMAIN,
            f"{ISSUE}_{entry.entry_id}_{ids[statistic_id]}_{after.start:%Y%m%d%H}",
            data={"entity": ids[statistic_id], "start": after.start.timestamp()},
            is_fixable=True,
            is_persistent=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=ISSUE,
            translation_placeholders={
                "name": entry.title,
                "sensor": statistic_id,
                "left": f"{dt_util.as_local(before.start + HOUR):%Y-%m-%d %H:%M}",
                "returned": f"{dt_util.as_local(after.start):%Y-%m-%d %H:%M}",
                "shown": f"{after.sum - before.sum:.3f} {unit}",
                "counted": f"{after.state - before.state:.3f} {unit}",
                "raise_by": f"{restart.raise_by:.3f} {unit}",
            },
        )


def _read(hass: HomeAssistant, statistic_ids: set[str], number: int) -> list[tuple[str, str, Restart]]:
    """Return the resets of statistics with their units, in a thread of the recorder."""
    found: list[tuple[str, str, Restart]] = []
    for statistic_id, (_, metadata) in get_metadata(hass, statistic_ids=statistic_ids).items():
        # The recorder removes from this set what a statistic does not have.
        types: set[Any] = {"state", "sum"}
        rows = get_last_statistics(hass, number, statistic_id, convert_units=False, types=types)
        restarts = find_restarts(
            [
                Row(dt_util.utc_from_timestamp(row["start"]), state, total)
                for row in reversed(rows.get(statistic_id, []))
                if (state := row.get("state")) is not None and (total := row.get("sum")) is not None
            ]
        )
        found += [(statistic_id, metadata["unit_of_measurement"] or "", restart) for restart in restarts]
    return found
