"""Reads the hours from before the register history began, once.

They come from the statistics, and from the file of version 0.1, which has their sums at quarters of an hour.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from homeassistant.components.recorder import is_entity_recorded
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util

from ..database import async_read
from ..reader import MAX_ENERGY_PER_HOUR, Measurement
from ..registers import HOUR, ROUNDING, start_of
from ..registry import Registry

_WH: Final = {"energy": "Wh"}


async def async_read_earlier_totals(
    hass: HomeAssistant, registry: Registry, begin: datetime, stored: Mapping[str, Any]
) -> dict[datetime, float]:
    """Return the totals at boundaries since a time, in Wh. `stored` is the file of version 0.1.

    Empty where the import or the net power is not recorded.
    """
    ids = [
        entity_id
        for measurement in (Measurement.ACTIVE_ENERGY_IMPORT, Measurement.ACTIVE_POWER_NET)
        if (entity_id := registry.entity_id(Platform.SENSOR, measurement))
        and is_entity_recorded(hass, entity_id)
    ]
    if len(ids) < len(("energy", "power")):
        return {}
    await get_instance(hass).async_recorder_ready.wait()
    energy_id, power_id = ids
    return await async_read(hass, _read_totals, energy_id, power_id, begin, stored)


def _read_totals(
    hass: HomeAssistant, energy_id: str, power_id: str, begin: datetime, stored: Mapping[str, Any]
) -> dict[datetime, float]:
    """Read the totals in a thread of the recorder.

    The power shows in which hours readings arrived: only then does it change. A boundary between two such
    hours is known.
    """
    rows = statistics_during_period(hass, begin, None, {energy_id}, "hour", _WH, {"state", "sum"}).get(
        energy_id, []
    )
    powers = statistics_during_period(hass, begin, None, {power_id}, "hour", None, {"max", "min"}).get(
        power_id, []
    )
    received = {
        dt_util.utc_from_timestamp(row["start"]) for row in powers if row.get("min") != row.get("max")
    }
    sums = {
        dt_util.utc_from_timestamp(row["end"]): total
        for row in rows
        if (total := row.get("sum")) is not None and row.get("state") is not None
    }
    if not sums:
        return {}
    offset = (rows[-1].get("state") or 0.0) - (rows[-1].get("sum") or 0.0)
    quarters = {dt_util.utc_from_timestamp(time): float(total) for time, total in stored.get("quarters", ())}
    gaps = [tuple(map(dt_util.utc_from_timestamp, gap)) for gap in stored.get("gaps", ())]
    known = {time: total for time, total in sums.items() if {time - HOUR, time} <= received} | {
        time: total for time, total in quarters.items() if _is_unchanged(time, quarters, sums)
    }
    return _without_replacements(
        [
            (time, total + offset)
            for time, total in sorted(known.items())
            if not any(start < time < end for start, end in gaps)
        ]
    )


def _is_unchanged(time: datetime, quarters: Mapping[datetime, float], sums: Mapping[datetime, float]) -> bool:
    """Return whether the sums around a quarter are still the same. The user may have corrected them."""
    hour = start_of(time, HOUR)
    same = [
        abs(quarters[each] - sums[each]) <= ROUNDING
        for each in (hour, hour + HOUR)
        if each in quarters and each in sums
    ]
    return bool(same) and all(same)


def _without_replacements(totals: Sequence[tuple[datetime, float]]) -> dict[datetime, float]:
    """Return totals without the energy that the recorder has counted for a meter replacement."""
    offset, result = 0.0, dict(totals[-1:])
    for (time, total), (later, later_total) in reversed(list(pairwise(totals))):
        if not 0 <= later_total - total <= MAX_ENERGY_PER_HOUR * ((later - time) / HOUR):
            offset += later_total - total
        result[time] = total + offset
    return dict(sorted(result.items()))
