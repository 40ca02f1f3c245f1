"""Past states in the database. The recorder has no API that adds states."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
import sqlite3
from typing import Final

from tests.simulators.household import Household

# The recorder stores states for ten days.
_DAYS: Final = 9

_LOCK_TIMEOUT: Final = 30

_INSERT: Final = """\
INSERT INTO states (metadata_id, attributes_id, state, last_updated_ts, origin_idx, context_id_bin)
SELECT metadata_id, attributes_id, ?2, ?3, 0, randomblob(16) FROM states JOIN states_meta USING (metadata_id)
WHERE states_meta.entity_id = ?1 ORDER BY last_updated_ts DESC LIMIT 1"""


def insert(database: Path, states: Iterable[tuple[str, str, float]]) -> None:
    """Insert states. Each is an entity id, the state and a timestamp.

    The recorder must have written a state of each entity.
    """
    with closing(sqlite3.connect(database, timeout=_LOCK_TIMEOUT)) as connection, connection:
        connection.executemany(_INSERT, states)


def runs(house: Household, appliance: str) -> Iterator[tuple[str, float]]:
    """Yield the states of the sensor Running of an appliance until now, and their timestamps."""
    # Not the local time of a fast house, because these states have real times.
    now = house.clock.astimezone(house.zone)
    for moment, state in _states(house, appliance, now.date() - timedelta(days=_DAYS)):
        if moment <= now:
            yield state, moment.timestamp()


def _states(house: Household, appliance: str, first: date) -> Iterator[tuple[datetime, str]]:
    """Yield the changes of an appliance since the beginning of a day, and its state at each hour.

    The recorder shows no state from before its first start. So a state is added at each hour, with which
    a graph can begin. Runs can overlap.
    """
    midnight = datetime.combine(first, time(), house.zone)
    runs = [
        (midnight + timedelta(days=days, minutes=run.begin), sum(minutes for _, minutes in run.steps))
        for days in range(_DAYS + 1)
        for run in house.runs(first + timedelta(days=days))
        if run.appliance == appliance
    ]
    changes = [(midnight, "off")]
    for begin, minutes in sorted(runs):
        end = begin + timedelta(minutes=minutes)
        if end > (last_end := changes[-1][0]):
            changes += [(max(begin, last_end), "on"), (end, "off")]
    yield from changes
    for hours in range(24 * (_DAYS + 1)):
        hour = midnight + timedelta(hours=hours)
        yield hour, changes[bisect_right(changes, (hour, "on")) - 1][1]
