"""Correction of the long-term statistics of the energy sensors by the register histories.

A row of an hour contains the register at its end (`state`) and a running total (`sum`). Unless a user has
adjusted the sums, `sum` minus the total of the register history is the same number in all rows: the *base*.
So the correct row of an hour follows from the register at its end. All values are compared in Wh, and written
in the unit in which the statistics are stored.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, product
from typing import Any, Final, NamedTuple

from homeassistant.components.recorder import is_entity_recorded
from homeassistant.components.recorder.models import StatisticData, StatisticMetaData
from homeassistant.components.recorder.statistics import (
    async_import_statistics,
    get_last_short_term_statistics,
    get_last_statistics,
    get_metadata,
)
from homeassistant.const import (
    EVENT_RECORDER_5MIN_STATISTICS_GENERATED,
    EVENT_RECORDER_HOURLY_STATISTICS_GENERATED,
    Platform,
    UnitOfEnergy,
)
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from .const import DOMAIN, LOGGER
from .coordinator import EnergySseCoordinator
from .histories import RegisterUpdate
from .reader import Measurement
from .registers import HOUR, ROUNDING_ERROR, TELEGRAM_ENERGY, RegisterHistory, Replacement, start_of
from .sum_reset import ROWS, ROWS_AT_SETUP, async_find_sum_resets, async_is_idle, async_read

_FIVE_MINUTES: Final = timedelta(minutes=5)

# Seconds. Within this time, the recorder commits compiled statistics, and a reader sends all hours that it
# stores.
_DELAY: Final = 10

# Seconds. If a recorder is locked or cannot write, the next correction waits until it has compiled again.
_COMMIT_TIMEOUT: Final = 60

# Fraction of the energy of a meter replacement. After a power failure, the recorder and the register history
# can have different last registers.
_TOLERANCE: Final = 0.1

# Meter replacements in an hour. Invalid data must not take processor time.
_MAX_REPLACEMENTS: Final = 4

# Readers store 64 hours. The rows before them show which sums they continue.
_ROWS: Final = 72


class Row(NamedTuple):
    """Statistics of an hour, or of the last five minutes, in Wh."""

    end: datetime
    total: float
    """Register at the end, with the energy of replaced meters."""

    sum: float

    @property
    def base(self) -> float:
        """Sum minus total."""
        return self.sum - self.total


class Adjustment(NamedTuple):
    """Energy to add to all sums from a time on."""

    start: datetime
    energy: float
    """Wh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Statistics of one register in the recorder."""

    metadata: StatisticMetaData
    rows: Sequence[Row]
    """Last hours, the oldest first."""

    latest: Row
    """Last five minutes, whose sum the recorder continues."""

    @property
    def unit(self) -> str:
        """Return the unit in which the statistics are stored."""
        return str(self.metadata["unit_of_measurement"])


def get_correction(recorded: Recorded, history: RegisterHistory, now: datetime) -> Adjustment | Sequence[Row]:
    """Return the adjustment of sums or the rows that are needed to match the known registers.

    An adjustment is returned without rows, because the recorder can fail to write the adjustment.
    """
    if adjustment := _adjustment_for_replacement([*recorded.rows, recorded.latest], history):
        return adjustment
    begin, base = _get_start(recorded)
    if earlier := _earlier_hours(recorded, history, begin):
        # The first hour of a history is the first one whose registers are known at both ends.
        new_base = -history.boundaries[earlier[0]]
        if abs(new_base - base) > ROUNDING_ERROR:
            return Adjustment(begin, new_base - base)
        return [Row(end, total := history.boundaries[end], total + new_base) for end in earlier[1:]]
    return list(_corrected_rows(recorded, history, now))


def _adjustment_for_replacement(rows: Sequence[Row], history: RegisterHistory) -> Adjustment | None:
    """Return the adjustment for the first meter replacements that the recorder has counted as energy, if any.

    Any other difference is an adjustment by the user.
    """
    for before, after in pairwise(rows):
        difference = after.base - before.base
        replaced = [each for each in history.replacements if before.end < each.time <= after.end]
        for begin, energy in _possible_counts(replaced[-_MAX_REPLACEMENTS:]):
            if abs(difference - energy) <= max(TELEGRAM_ENERGY, _TOLERANCE * abs(energy)) < abs(difference):
                is_compiled = after is not rows[-1]
                return Adjustment(
                    after.end - HOUR if is_compiled else start_of(begin, _FIVE_MINUTES), -difference
                )
    return None


def _possible_counts(replaced: Sequence[Replacement]) -> Iterator[tuple[datetime, float]]:
    """Yield each energy that the recorder can have counted for replacements, and the time of the first one.

    The recorder counts a rise, or a fall by less than a tenth, as energy. After a larger fall, it counts the
    register from zero. It counts nothing for a replacement that was adjusted before.
    """
    for energies in product(*((0.0, each.first - each.last, each.first) for each in replaced)):
        counted = [(each.time, energy) for each, energy in zip(replaced, energies, strict=True) if energy]
        if counted:
            yield counted[0][0], sum(energy for _, energy in counted)


def _get_start(recorded: Recorded) -> tuple[datetime, float]:
    """Return the start of the first hour of the statistics, which may not have a row yet, and its base."""
    if recorded.rows:
        return recorded.rows[0].end - HOUR, recorded.rows[0].base
    return start_of(recorded.latest.end - _FIVE_MINUTES, HOUR), recorded.latest.base


def _earlier_hours(recorded: Recorded, history: RegisterHistory, begin: datetime) -> list[datetime]:
    """Return the hours before the first row, on the first day of a reader that stores hours."""
    # If an hour before the first row was received, the user has deleted rows.
    if len(recorded.rows) == _ROWS or any(hour < begin for hour in history.received):
        return []
    earlier = sorted(end for end in history.boundaries if end <= begin and end.minute == 0)
    return earlier if earlier and earlier[0] < begin else []


def _corrected_rows(recorded: Recorded, history: RegisterHistory, now: datetime) -> Iterator[Row]:
    """Yield the correct rows for hours that are missing or wrong."""
    rows = {row.end: row for row in recorded.rows}
    if not rows:
        return
    last = min(recorded.latest.end, now)
    known = {
        end: total
        for end, total in history.boundaries.items()
        if min(rows) <= end <= last and end.minute == 0
    }
    totals = _correct_totals(rows, known)
    hours: list[datetime] = []
    for end in sorted(totals):
        row = rows.get(end)
        tolerance = TELEGRAM_ENERGY if end in history.received else ROUNDING_ERROR
        if row is None or abs(row.total - totals[end]) > tolerance:
            hours.append(end)
            continue
        yield from _continue_sums(hours, totals, recorded)
        hours = []
    yield from _continue_sums(hours, totals, recorded)


def _correct_totals(rows: Mapping[datetime, Row], known: Mapping[datetime, float]) -> dict[datetime, float]:
    """Return the known totals of hours; for other hours, the totals of rows, limited by the known ones."""
    totals: dict[datetime, float] = {}
    ends = sorted({*rows, *known})
    following: dict[datetime, float] = {}
    next_known = float("inf")
    for end in reversed(ends):
        following[end] = next_known
        next_known = known.get(end, next_known)
    before = float("-inf")
    for end in ends:
        before = totals[end] = known.get(
            end, min(max(rows[end].total, before), following[end]) if end in rows else 0.0
        )
    return totals


def _continue_sums(
    hours: Sequence[datetime], totals: Mapping[datetime, float], recorded: Recorded
) -> Iterator[Row]:
    """Yield the rows of consecutive hours, unless the rows around them have different bases.

    In this case, the user has adjusted the sums, or they were reset to zero.
    """
    if not hours:
        return
    inside = [row for row in recorded.rows if hours[0] <= row.end <= hours[-1]]
    before = [row for row in recorded.rows if row.end < hours[0]][-1:]
    after = [row for row in (*recorded.rows, recorded.latest) if row.end > hours[-1]][:1]
    bases = [row.base for row in (*before, *inside, *after)]
    if not bases or max(bases) - min(bases) > ROUNDING_ERROR:
        LOGGER.debug("Hours are not corrected: the sums around them do not continue each other")
        return
    yield from (Row(end, totals[end], totals[end] + bases[-1]) for end in hours)


class StatisticsCorrector:
    """Corrector of the statistics of one reader."""

    def __init__(
        self, hass: HomeAssistant, coordinator: EnergySseCoordinator, *, corrects_hours: bool
    ) -> None:
        """Initialize without listening. The recorder has to be set up.

        Sums that were reset are searched for even if `corrects_hours` is False.
        """
        self._hass = hass
        self._entry = coordinator.config_entry
        self._coordinator = coordinator
        self._corrects_hours = corrects_hours
        self._rows_to_check = ROWS_AT_SETUP
        """Rows in which to look for sums that were reset."""

        self._debouncer = Debouncer(hass, LOGGER, cooldown=_DELAY, immediate=False, function=self._start)
        self._task: asyncio.Task[None] | None = None
        self._is_waiting = False
        """True while the recorder has not yet written the last correction."""

    @callback
    def async_start(self) -> None:
        """Start to compare after each compilation by the recorder, and when registers become known."""
        for unsubscribe in (
            self._hass.bus.async_listen(EVENT_RECORDER_5MIN_STATISTICS_GENERATED, self._handle_compiled),
            self._hass.bus.async_listen(EVENT_RECORDER_HOURLY_STATISTICS_GENERATED, self._check_sums),
            self._coordinator.async_add_reading_listener(self._handle_reading),
            self._debouncer.async_shutdown,
        ):
            self._entry.async_on_unload(unsubscribe)
        self._schedule()

    @callback
    def _check_sums(self, _event: Event) -> None:
        self._rows_to_check = max(self._rows_to_check, ROWS)

    @callback
    def _handle_compiled(self, _event: Event) -> None:
        try:
            # The recorder has written or dropped the last correction.
            self._is_waiting = False
            self._schedule()
        except Exception:
            LOGGER.exception("Unexpected error while waiting for the recorder")

    @callback
    def _handle_reading(self, update: RegisterUpdate) -> None:
        if update.boundaries_changed:
            self._schedule()

    @callback
    def _schedule(self) -> None:
        if not self._is_waiting:
            self._debouncer.async_schedule_call()

    @callback
    def _start(self) -> None:
        if self._task is not None and not self._task.done():
            self._schedule()
            return
        self._task = self._entry.async_create_background_task(
            self._hass, self._async_correct_all(), f"{DOMAIN} statistics"
        )

    async def _async_correct_all(self) -> None:
        try:
            await get_instance(self._hass).async_recorder_ready.wait()
            try:
                for register, history in (
                    self._coordinator.histories.by_register.items() if self._corrects_hours else ()
                ):
                    await self._async_correct(register, history)
                if self._rows_to_check:
                    await async_find_sum_resets(self._hass, self._entry, self._rows_to_check)
                    self._rows_to_check = 0
            except SQLAlchemyError as error:
                LOGGER.debug("Hours are not corrected: the database fails (%s)", type(error).__name__)
            except RuntimeError:
                # The recorder has stopped, because Home Assistant is stopping or has stopped.
                if self._hass.is_running:
                    raise
        except Exception:
            LOGGER.exception("Unexpected error while correcting the statistics")

    async def _async_correct(self, register: Measurement, history: RegisterHistory) -> None:
        entity_id = self._coordinator.devices.entity_id(Platform.SENSOR, register)
        if entity_id is None or not is_entity_recorded(self._hass, entity_id) or self._hass.is_stopping:
            return
        compared = await self._async_compare(entity_id, history)
        if compared is not None and isinstance(compared[1], Adjustment):
            # A locked recorder can have the same adjustment in its queue, from before a reload of the entry.
            if not await async_is_idle(self._hass, entity_id, compared[0].unit, _COMMIT_TIMEOUT):
                return
            compared = await self._async_compare(entity_id, history)
        if compared is not None and compared[1]:
            await self._async_write(register, *compared, history)

    async def _async_compare(
        self, entity_id: str, history: RegisterHistory
    ) -> tuple[Recorded, Adjustment | Sequence[Row]] | None:
        recorded = await async_read(self._hass, _read, entity_id, history)
        return None if recorded is None else (recorded, get_correction(recorded, history, dt_util.utcnow()))

    async def _async_write(
        self,
        register: Measurement,
        recorded: Recorded,
        correction: Adjustment | Sequence[Row],
        history: RegisterHistory,
    ) -> None:
        unit, instance = recorded.unit, get_instance(self._hass)
        to_stored = EnergyConverter.converter_factory(UnitOfEnergy.WATT_HOUR, unit)
        rows: list[StatisticData] = []
        if isinstance(correction, Adjustment):
            statistic_id, energy = recorded.metadata["statistic_id"], to_stored(correction.energy)
            instance.async_adjust_statistics(statistic_id, correction.start, energy, unit)
        else:
            LOGGER.info("Corrected the statistics of %s hours of %s", len(correction), register)
            rows = [
                StatisticData(
                    start=row.end - HOUR,
                    state=to_stored(row.total - history.offset(row.end)),
                    sum=to_stored(row.sum),
                )
                for row in correction
            ]
        # Also without rows, because `async_block_till_done` returns at once while the queue is empty. A slow
        # recorder must not get an adjustment twice.
        async_import_statistics(self._hass, recorded.metadata, rows)
        self._is_waiting = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMMIT_TIMEOUT):
                await instance.async_block_till_done()
                self._is_waiting = False
        if isinstance(correction, Adjustment):
            self._schedule()


def _read(hass: HomeAssistant, entity_id: str, history: RegisterHistory) -> Recorded | None:
    """Read the statistics of a sensor in Wh, in a thread of the recorder.

    Return None if there are none yet, or if their unit is not a unit of energy.
    """
    found = get_metadata(hass, statistic_ids={entity_id}).get(entity_id)
    if found is None or found[1]["unit_of_measurement"] not in EnergyConverter.VALID_UNITS:
        return None
    types: set[Any] = {"state", "sum"}
    hours = get_last_statistics(hass, _ROWS, entity_id, convert_units=False, types=types).get(entity_id, [])
    latest = get_last_short_term_statistics(hass, 1, entity_id, convert_units=False, types=types).get(
        entity_id, []
    )
    rows, last = (list(_convert_rows(each, found[1], history)) for each in (reversed(hours), latest))
    return (
        Recorded(metadata=found[1], rows=[row for row in rows if row.end <= last[0].end], latest=last[0])
        if last
        else None
    )


def _convert_rows(
    rows: Iterable[Mapping[str, Any]], metadata: StatisticMetaData, history: RegisterHistory
) -> Iterator[Row]:
    to_wh = EnergyConverter.converter_factory(metadata["unit_of_measurement"], UnitOfEnergy.WATT_HOUR)
    for row in rows:
        if row.get("state") is not None and row.get("sum") is not None:
            end = dt_util.utc_from_timestamp(row["end"])
            yield Row(end, to_wh(row["state"]) + history.offset(end), to_wh(row["sum"]))
