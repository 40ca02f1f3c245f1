"""Find statistics whose sums started again at zero, and raise them to where they belong.

The recorder continues a sum from the last five minutes that it has of a sensor, and keeps those for ten days,
or for as long as its owner has chosen. A sensor that was away for longer begins anew: the Energy dashboard
shows an hour of minus everything that was ever counted (issue 87311 of Home Assistant). The register tells
what the sum should be. The user is told, and decides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from homeassistant.components.recorder.models import StatisticMetaData
from homeassistant.components.recorder.statistics import get_metadata
from homeassistant.const import EVENT_RECORDER_HOURLY_STATISTICS_GENERATED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util

from ..const import DOMAIN
from ..coordinator import EnergySseConfigEntry
from . import SIGNAL_SUMS_RAISED
from .plan import HOUR, Row
from .recorder import async_read, read_last_hours

# Key of the texts, and what the id of every such issue begins with.
ISSUE: Final = "sum_restart"

# The recorder keeps at least a day of what it continues sums from.
_SHORTEST_ABSENCE: Final = timedelta(days=1)

# Hours. A restart is seen in the hour of the return; some more, in case Home Assistant was off in between.
_LOOK_BACK: Final = 72

# Of the stored unit: a Wh where it is kWh.
_TOLERANCE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Restart:
    """A sum that started again at zero."""

    before: Row
    """The last hour before the absence."""

    after: Row
    """The hour of the return."""

    @property
    def raise_by(self) -> float:
        """What is missing in the sums since the return."""
        return self.before.offset - self.after.offset


class _Found(NamedTuple):
    metadata: StatisticMetaData
    restart: Restart


def find_restarts(rows: Sequence[Row]) -> Iterator[Restart]:
    """Yield the restarts among the hours of a statistic."""
    for before, after in pairwise(rows):
        # A sum that started at zero is the register minus its first value, and the meter passed that value
        # while no reading arrived. Any other jump was made by somebody on purpose.
        zero_point = -after.offset
        is_restart = before.state - _TOLERANCE <= zero_point <= after.state + _TOLERANCE
        restart = Restart(before, after)
        if (
            after.start - before.start > _SHORTEST_ABSENCE
            and is_restart
            and abs(restart.raise_by) > _TOLERANCE
        ):
            yield restart


@callback
def async_watch(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Look for restarts now and after every hour, and raise an issue for each."""
    faults = entry.runtime_data.faults

    async def look_once() -> None:
        with faults.contained("looking for sums that started again"):
            await _async_look(hass, entry)

    @callback
    def look(_event: Event | None = None) -> None:
        entry.async_create_background_task(hass, look_once(), f"{DOMAIN} sums")

    entry.async_on_unload(hass.bus.async_listen(EVENT_RECORDER_HOURLY_STATISTICS_GENERATED, look))
    look()


async def async_raise_sums(hass: HomeAssistant, statistic_id: str, start: datetime) -> bool:
    """Raise the sums of a statistic since a restart that is still there. Returns whether it is gone now."""
    found = await _async_find(hass, statistic_id, start)
    for metadata, restart in found or ():
        get_instance(hass).async_adjust_statistics(
            statistic_id, start, restart.raise_by, str(metadata["unit_of_measurement"])
        )
        # A database that is full does not take it.
        found = await _async_find(hass, statistic_id, start)
    if found is None or found:
        return False
    async_dispatcher_send(hass, SIGNAL_SUMS_RAISED)
    return True


async def _async_find(hass: HomeAssistant, statistic_id: str, start: datetime) -> list[_Found] | None:
    """Return the restart of a statistic in an hour, if there is one. None when it cannot be read."""
    hours = int((dt_util.utcnow() - start) / HOUR) + _LOOK_BACK
    found = await async_read(hass, _read_restarts, {statistic_id}, hours)
    return None if found is None else [each for each in found if each.restart.after.start == start]


async def _async_look(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    registry = er.async_get(hass)
    sensors = {
        entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
        if entity.domain == "sensor"
    }
    for metadata, restart in await async_read(hass, _read_restarts, sensors, _LOOK_BACK) or ():
        statistic_id, start = metadata["statistic_id"], restart.after.start
        unit = metadata["unit_of_measurement"] or ""
        ir.async_create_issue(
            hass,
            DOMAIN,
            f"{ISSUE}_{entry.entry_id}_{statistic_id}_{start:%Y%m%d%H}",
            data={"statistic_id": statistic_id, "start": start.timestamp()},
            is_fixable=True,
            is_persistent=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=ISSUE,
            translation_placeholders={
                "name": entry.title,
                "sensor": statistic_id,
                "left": f"{dt_util.as_local(restart.before.start + HOUR):%Y-%m-%d %H:%M}",
                "returned": f"{dt_util.as_local(start):%Y-%m-%d %H:%M}",
                "shown": f"{restart.after.sum - restart.before.sum:.3f} {unit}",
                "counted": f"{restart.after.state - restart.before.state:.3f} {unit}",
                "raise_by": f"{restart.raise_by:.3f} {unit}",
            },
        )


def _read_restarts(hass: HomeAssistant, statistic_ids: set[str], hours: int) -> list[_Found]:
    return [
        _Found(metadata, restart)
        for statistic_id, (_, metadata) in get_metadata(hass, statistic_ids=statistic_ids).items()
        if metadata["has_sum"]
        for restart in find_restarts(read_last_hours(hass, statistic_id, hours))
    ]
