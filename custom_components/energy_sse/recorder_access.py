"""Reads from the recorder, when all that it is at is in the database."""

from collections.abc import Callable

from homeassistant.components.recorder.statistics import (
    StatisticsRow,
    get_last_short_term_statistics,
    get_last_statistics,
)
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util

from .missed_hours import Row


async def async_read[*Ts, T](
    hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts
) -> T | None:
    """Return what a function reads in one of the recorder's threads. None when Home Assistant is stopping.

    Waits for the recorder as long as it takes: to start, to catch up, for the end of a backup.
    """
    instance = get_instance(hass)
    await instance.async_recorder_ready.wait()
    # Everything queued so far has to be in the database, also what the recorder is at: the catch-up after a
    # start, or the five minutes that it has just told of.
    committed = hass.loop.create_future()
    instance.queue_task(SynchronizeTask(committed))
    await committed
    if hass.is_stopping:
        return None
    # Home Assistant waits for this task before it stops: the recorder's threads must not read from
    # connections that it closes.
    return await hass.async_create_task(_async_run(hass, read, *args))


async def _async_run[*Ts, T](hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts) -> T:
    return await get_instance(hass).async_add_executor_job(read, hass, *args)


def read_last_hours(hass: HomeAssistant, statistic_id: str, number: int) -> list[Row]:
    """Return the last hours of a statistic, oldest first, in the unit that it is stored in."""
    return _read_last(get_last_statistics, hass, statistic_id, number)


def read_last_five_minutes(hass: HomeAssistant, statistic_id: str) -> Row | None:
    """Return the last five minutes of a statistic, in the unit that it is stored in."""
    return next(iter(_read_last(get_last_short_term_statistics, hass, statistic_id, 1)), None)


def _read_last(
    get_last: Callable[..., dict[str, list[StatisticsRow]]],
    hass: HomeAssistant,
    statistic_id: str,
    number: int,
) -> list[Row]:
    rows = get_last(hass, number, statistic_id, convert_units=False, types={"state", "sum"})
    return [
        Row(dt_util.utc_from_timestamp(row["start"]), state, total)
        for row in reversed(rows.get(statistic_id, []))
        if (state := row.get("state")) is not None and (total := row.get("sum")) is not None
    ]
