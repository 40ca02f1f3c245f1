"""Puts into the long-term statistics what the meter counted in the hours that nobody heard.

A CurrentlyOne remembers the registers of the last full hours. This file keeps them and has them written:
which hours were missed is for `silences.py` to say, and what belongs into them for `plan.py`. Hours that the
recorder has yet to compile are left to it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import logging
from typing import Final

from homeassistant.components.recorder import is_entity_recorded
from homeassistant.components.recorder.db_schema import StatisticsRuns
from homeassistant.components.recorder.models import StatisticData, StatisticMetaData, process_timestamp
from homeassistant.components.recorder.statistics import (
    async_import_statistics,
    get_metadata,
)
from homeassistant.const import EVENT_RECORDER_5MIN_STATISTICS_GENERATED, Platform
from homeassistant.core import CALLBACK_TYPE, Event, HassJob, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.dispatcher import async_dispatcher_connect, async_dispatcher_send
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter
from sqlalchemy import func, select

from ..const import DOMAIN
from ..coordinator import EnergySseConfigEntry, EnergySseCoordinator
from ..reader import Heartbeat, HourlyRegister, Measurement, Message, ReaderInfo, Reading
from . import SIGNAL_HOURS_FILLED, SIGNAL_SUMS_RAISED
from .plan import HOUR, NoFitError, Plan, Row, Series, TooEarlyError, plan_rows
from .recorder import (
    NearestReadings,
    async_read,
    read_last_five_minutes,
    read_last_hours,
    read_nearest_readings,
)
from .silences import Evidence, ReadingTimes, Silence, unheard_runs

_LOGGER = logging.getLogger(__name__)

# Registers stamped by a clock that is further off would land in the wrong hours.
_CLOCK_TOLERANCE: Final = timedelta(minutes=3)

# Seconds. What a reader remembers comes in one burst after a connect, and its first readings right behind.
_BURST: Final = 10

# Hours. A reader remembers 64; some before them tell what they continue.
_ROWS: Final = 72

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """What the recorder has of one sensor."""

    metadata: StatisticMetaData
    series: Series
    nearest_readings: Mapping[datetime, NearestReadings]
    """Around full hours."""


@callback
def async_fill(hass: HomeAssistant, entry: EnergySseConfigEntry, coordinator: EnergySseCoordinator) -> None:
    """Fill the hours of one reader until its entry is unloaded. There has to be a recorder."""
    MissedHours(hass, entry, coordinator).async_start()


class MissedHours:
    """Fills the hours of one reader's registers that nobody heard."""

    def __init__(
        self, hass: HomeAssistant, entry: EnergySseConfigEntry, coordinator: EnergySseCoordinator
    ) -> None:
        """Prepare. There has to be a recorder."""
        self._hass = hass
        self._entry = entry
        self._coordinator = coordinator
        self._registers: defaultdict[Measurement, dict[datetime, float]] = defaultdict(dict)
        self._reading_times: defaultdict[Measurement, ReadingTimes] = defaultdict(ReadingTimes)
        self._undecided: defaultdict[Measurement, dict[datetime, Silence | None]] = defaultdict(dict)
        """Full hours, with the silence that is known to be around them."""

        self._written: defaultdict[Measurement, dict[datetime, Silence]] = defaultdict(dict)
        """Full hours of which rows were given to the recorder, which drops them when its database is full."""

        self._clock_error: timedelta | None = None
        self._faults = coordinator.faults
        self._wake = asyncio.Event()
        self._wake_job = HassJob(self._wake_up, cancel_on_shutdown=True)
        self._cancel_wake: CALLBACK_TYPE | None = None

    @callback
    def async_start(self) -> None:
        """Listen to the reader, from its first word, and fill until the entry is unloaded."""
        for unsubscribe in (
            self._coordinator.async_listen(self._handle_message),
            self._hass.bus.async_listen(EVENT_RECORDER_5MIN_STATISTICS_GENERATED, self._handle_compiled),
            async_dispatcher_connect(self._hass, SIGNAL_SUMS_RAISED, self._handle_sums_raised),
            self._stop,
        ):
            self._entry.async_on_unload(unsubscribe)
        self._entry.async_create_background_task(self._hass, self._run(), f"{DOMAIN} missed hours")

    # ------------------------------------------------------------------------------- what is new

    @callback
    def _handle_message(self, message: Message) -> None:
        match message:
            case Reading(age=0):
                self._compare_clocks(message.reader_time)
                self._note_reading(message)
            case HourlyRegister():
                self._note_registers(message)
            case ReaderInfo():
                self._compare_clocks(message.clock)
            case Heartbeat():
                self._compare_clocks(message.time)

    @callback
    def _compare_clocks(self, clock: datetime | None) -> None:
        if clock is not None and clock.tzinfo is not None:
            self._clock_error = clock - dt_util.utcnow()

    @callback
    def _note_reading(self, reading: Reading) -> None:
        now = dt_util.utcnow()
        believed = self._coordinator.readings.values
        for measurement in self._registers.keys() & reading.values.keys():
            if believed.get(measurement) != reading.values[measurement]:
                # Dropped: as good as not heard.
                continue
            times = self._reading_times[measurement]
            if times.note(now) and self._undecided[measurement]:
                self._wake_soon()

    @callback
    def _note_registers(self, message: HourlyRegister) -> None:
        for measurement, value in message.values.items():
            registers = self._registers[measurement]
            if message.full_hour not in registers:
                registers[message.full_hour] = value
                self._undecided[measurement][message.full_hour] = None
                self._wake_soon()

    @callback
    def _handle_compiled(self, _event: Event) -> None:
        with self._faults.contained("waiting for the recorder"):
            for measurement, written in self._written.items():
                self._undecided[measurement] |= written
                written.clear()
            if any(self._undecided.values()):
                self._wake_soon()

    @callback
    def _handle_sums_raised(self) -> None:
        for measurement, registers in self._registers.items():
            for full_hour in registers:
                self._undecided[measurement].setdefault(full_hour, None)
        self._wake_soon()

    @callback
    def _wake_soon(self) -> None:
        if self._cancel_wake is None:
            self._cancel_wake = async_call_later(self._hass, _BURST, self._wake_job)

    @callback
    def _wake_up(self, _now: datetime) -> None:
        self._cancel_wake = None
        self._wake.set()

    @callback
    def _stop(self) -> None:
        if self._cancel_wake is not None:
            self._cancel_wake()
            self._cancel_wake = None

    # ----------------------------------------------------------------------------------- filling

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._faults.contained("filling missed hours"):
                await self._fill_all()

    async def _fill_all(self) -> None:
        self._forget()
        if self._clock_error is None or abs(self._clock_error) > _CLOCK_TOLERANCE:
            _LOGGER.debug("No hour is filled: the reader's clock is off by %s", self._clock_error)
            return
        # A list, because new registers may arrive meanwhile.
        for measurement in list(self._registers):
            with self._faults.contained("filling missed hours"):
                await self._fill(measurement)

    def _forget(self) -> None:
        """Forget what is older than anything a reader remembers, and what its clock cannot have said yet."""
        now = dt_util.utcnow()
        # By its own clock: a wrong one of this machine is no reason to forget.
        ahead = self._clock_error or timedelta()
        for measurement, registers in self._registers.items():
            for full_hour in list(registers):
                if not -_CLOCK_TOLERANCE <= now - full_hour + ahead <= _ROWS * HOUR:
                    del registers[full_hour]
                    self._undecided[measurement].pop(full_hour, None)
                    self._written[measurement].pop(full_hour, None)

    async def _fill(self, measurement: Measurement) -> None:
        """Fill one silence after the other, until all full hours are decided that can be."""
        times, undecided = self._reading_times[measurement], self._undecided[measurement]
        registry = er.async_get(self._hass)
        entity_id = registry.async_get_entity_id(
            Platform.SENSOR, DOMAIN, self._coordinator.registry.unique_id(measurement)
        )
        if entity_id is None or not is_entity_recorded(self._hass, entity_id):
            return
        while True:
            last = times.last
            ended = sorted(full_hour for full_hour in undecided if last is not None and full_hour <= last)
            if not ended:
                return
            recorded = await async_read(self._hass, _read_recorded, entity_id, ended)
            if recorded is None:
                return
            evidence = self._evidence(measurement, recorded)
            silences = {
                full_hour: silence
                for full_hour in ended
                if (silence := evidence.silence_at(full_hour, undecided[full_hour])) is not None
            }
            for full_hour in set(ended) - silences.keys():
                del undecided[full_hour]
            if not await self._fill_one(measurement, silences, recorded):
                return

    def _evidence(self, measurement: Measurement, recorded: _Recorded) -> Evidence:
        freshness = self._coordinator.readings.freshness
        return Evidence(
            times=self._reading_times[measurement],
            registers=self._registers_in(measurement, recorded),
            series=recorded.series,
            nearest_readings=recorded.nearest_readings,
            pause=timedelta(seconds=freshness.limit),
            interval=timedelta(seconds=freshness.interval or 0),
        )

    async def _fill_one(
        self, measurement: Measurement, silences: Mapping[datetime, Silence], recorded: _Recorded
    ) -> bool:
        """Fill the last silence. Returns whether another one is worth a look."""
        if not silences:
            return False
        # The last one first: the rows after a silence tell whether registers fit, so they have to be right.
        full_hours = list(unheard_runs(silences))[-1]
        try:
            is_written = await self._write_planned(measurement, full_hours, recorded)
        except TooEarlyError:
            return False
        except NoFitError as reason:
            _LOGGER.debug("Hours until %s are not filled in %s: %s", full_hours[-1], measurement, reason)
        else:
            if is_written:
                self._written[measurement] |= {
                    full_hour: silences[full_hour] for full_hour in full_hours if full_hour in silences
                }
        for full_hour in full_hours:
            self._undecided[measurement].pop(full_hour, None)
        return True

    async def _write_planned(
        self, measurement: Measurement, full_hours: Sequence[datetime], recorded: _Recorded
    ) -> bool:
        """Queue what belongs into full hours. Returns whether anything does.

        Raises TooEarlyError or NoFitError.
        """
        plan = self._plan(measurement, full_hours, recorded)
        has_raised = plan.raise_from is not None
        if plan.raise_from is not None:
            self._raise_sums(recorded.metadata, plan.raise_from, plan.raise_by)
            # Rows that continue sums which the database has not taken would never fit again.
            raised = await async_read(self._hass, _read_recorded, recorded.metadata["statistic_id"], ())
            if raised is None:
                raise TooEarlyError
            plan = self._plan(measurement, full_hours, raised)
        if plan.raise_from is None and plan.rows:
            _LOGGER.info("Filled %s missed hours of %s", len(plan.rows), measurement)
            self._write(recorded.metadata, plan.rows)
        return has_raised or bool(plan.rows)

    def _plan(self, measurement: Measurement, full_hours: Sequence[datetime], recorded: _Recorded) -> Plan:
        """Return what to write. Raises TooEarlyError or NoFitError."""
        now = self._convert(measurement, recorded)(self._coordinator.readings.values[measurement])
        return plan_rows(full_hours, self._registers_in(measurement, recorded), now, recorded.series)

    def _registers_in(self, measurement: Measurement, recorded: _Recorded) -> dict[datetime, float]:
        """Return the registers that the reader remembers, in the stored unit."""
        convert = self._convert(measurement, recorded)
        return {full_hour: convert(value) for full_hour, value in self._registers[measurement].items()}

    def _convert(self, measurement: Measurement, recorded: _Recorded) -> Callable[[float], float]:
        """Return what converts to the stored unit."""
        return EnergyConverter.converter_factory(
            self._coordinator.reader.units[measurement], recorded.metadata["unit_of_measurement"]
        )

    @callback
    def _raise_sums(self, metadata: StatisticMetaData, since: datetime, by: float) -> None:
        """Queue it. The recorder does one after the other."""
        assert metadata["unit_of_measurement"] is not None
        get_instance(self._hass).async_adjust_statistics(
            metadata["statistic_id"], since, by, metadata["unit_of_measurement"]
        )

    @callback
    def _write(self, metadata: StatisticMetaData, rows: Sequence[Row]) -> None:
        """Queue rows."""
        async_import_statistics(
            self._hass,
            metadata,
            [StatisticData(start=row.start, state=row.state, sum=row.sum) for row in rows],
        )
        async_dispatcher_send(self._hass, SIGNAL_HOURS_FILLED)


# -------------------------------------------------------------------------------- in the recorder's threads


def _read_recorded(hass: HomeAssistant, entity_id: str, full_hours: Sequence[datetime]) -> _Recorded | None:
    """Read what the recorder has of a sensor, and its states around full hours. None before it has any."""
    metadata = get_metadata(hass, statistic_ids={entity_id}).get(entity_id)
    if metadata is None:
        return None
    unit = metadata[1]["unit_of_measurement"]
    if unit not in EnergyConverter.VALID_UNITS:
        return None
    rows = read_last_hours(hass, entity_id, _ROWS)
    with session_scope(hass=hass, read_only=True) as session:
        last_run = process_timestamp(session.scalar(select(func.max(StatisticsRuns.start))))
        states_id = get_instance(hass).states_meta_manager.get(entity_id, session, False)
        nearest_readings = {
            full_hour: read_nearest_readings(session, states_id, full_hour) for full_hour in full_hours
        }
    return _Recorded(
        metadata=metadata[1],
        series=Series(
            rows=rows,
            is_whole=len(rows) < _ROWS,
            latest=read_last_five_minutes(hass, entity_id),
            compiled_until=_NO_TIME if last_run is None else last_run + timedelta(minutes=5),
            watt_hour=EnergyConverter.convert(1, "Wh", unit),
        ),
        nearest_readings=nearest_readings,
    )
