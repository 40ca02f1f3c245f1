"""Reads from the recorder once it has committed its queue."""

import asyncio
from collections.abc import Callable
from datetime import datetime
import logging
from typing import Final, NamedTuple

from homeassistant.components.recorder.db_schema import States
from homeassistant.components.recorder.statistics import (
    StatisticsRow,
    get_last_short_term_statistics,
    get_last_statistics,
)
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..reader import trace_of
from .plan import Row

_LOGGER = logging.getLogger(__name__)

# Seconds until the recorder is asked once more whether it has written everything.
_ASK_AGAIN: Final = 300

# A state that is no reading.
_NO_READING: Final = (STATE_UNAVAILABLE, STATE_UNKNOWN, "")


class NearestReadings(NamedTuple):
    """When the states around a moment were recorded; None where there is none."""

    before: datetime | None
    after: datetime | None


async def async_read[*Ts, T](
    hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts
) -> T | None:
    """Return what a function reads in one of the recorder's threads.

    None when Home Assistant is stopping, when the recorder has ended, or when the database has a problem, of
    which the recorder tells.
    Waits for the recorder as long as it takes: to start, to catch up, for the end of a backup.
    """
    instance = get_instance(hass)
    await instance.async_recorder_ready.wait()
    # Everything queued so far has to be in the database, and so has the task that runs at this moment: the
    # catch-up after a start, or the five minutes that were just announced.
    committed = hass.loop.create_future()
    while not committed.done():
        # A recorder that cannot write drops the task.
        instance.queue_task(SynchronizeTask(committed))
        await asyncio.wait([committed], timeout=_ASK_AGAIN)
    if hass.is_stopping:
        return None
    # Home Assistant waits for this task before it stops: the recorder's threads must not read from
    # connections that it closes.
    try:
        return await hass.async_create_task(_async_run(hass, read, *args))
    except SQLAlchemyError as error:
        _LOGGER.debug("The database has a problem: %s", trace_of(error))
        return None


async def _async_run[*Ts, T](
    hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts
) -> T | None:
    instance = get_instance(hass)
    try:
        return await instance.async_add_executor_job(read, hass, *args)
    except RuntimeError:
        if instance.stop_requested:
            # The recorder has ended: its threads take nothing more, and it has no database.
            return None
        raise


def read_last_hours(hass: HomeAssistant, statistic_id: str, number: int) -> list[Row]:
    """Return the last hours of a statistic, oldest first, in the unit that it is stored in."""
    return _read_last(get_last_statistics, hass, statistic_id, number)


def read_last_five_minutes(hass: HomeAssistant, statistic_id: str) -> Row | None:
    """Return the last five minutes of a statistic, in the unit that it is stored in."""
    return next(reversed(_read_last(get_last_short_term_statistics, hass, statistic_id, 1)), None)


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


def read_nearest_readings(session: Session, states_id: int | None, moment: datetime) -> NearestReadings:
    """Read when the last reading before a moment was recorded, and the first one after it."""
    readings = select(
        States.last_updated_ts,
        # Written with the next state: until when an unchanged one was confirmed.
        func.coalesce(States.last_reported_ts, States.last_updated_ts),
    ).where(States.metadata_id == states_id, States.state.not_in(_NO_READING))
    time = moment.timestamp()
    before = session.execute(
        readings.where(States.last_updated_ts <= time).order_by(States.last_updated_ts.desc()).limit(1)
    ).first()
    after = session.execute(
        readings.where(States.last_updated_ts > time).order_by(States.last_updated_ts).limit(1)
    ).first()
    return NearestReadings(
        None if before is None else dt_util.utc_from_timestamp(before[1]),
        None if after is None else dt_util.utc_from_timestamp(after[0]),
    )
