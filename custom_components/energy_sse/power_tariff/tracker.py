"""Follow the import of one reader for its power tariff: the running interval, and what the months bill.

The energy of intervals that have ended comes from the recorder's statistics. In which of them readings were
missed is known here since the start, and told by the recorder's states for the time before.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
import math
from typing import Any, Final

from homeassistant.const import Platform, UnitOfEnergy, UnitOfPower
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter, PowerConverter

from ..backfill import SIGNAL_HOURS_FILLED, SIGNAL_SUMS_RAISED, Room
from ..const import CONF_WRITE_INTERVAL, DOMAIN, TariffKey
from ..coordinator import EnergySseConfigEntry, EnergySseCoordinator
from ..listeners import Listeners
from ..memory import Memory
from ..reader import HourlyRegister, Measurement as M, Message, Reading, clock
from .boundaries import Exchange
from .counting import Question, count
from .demand import Bill, Interval, Month, Tariff, is_peak_expected, start_of
from .gaps import Gaps
from .running import RunningInterval

# Seconds. What moves with every reading is not looked at more often. A meter that speaks as often may be a
# bit early.
_LOOK_INTERVAL: Final = 10
_LOOK_EARLY: Final = 0.5

# W, part of the value, and seconds. A value that has moved by less is told only after this time. In the last
# minutes of an interval, what may be drawn is many kilowatts, and moves by some.
_LEAST_MOVE: Final = 100.0
_LEAST_PART: Final = 0.05
_TELL_WITHIN: Final = 60

# Read before the previous month, so that its first interval has one before it.
_MARGIN: Final = timedelta(days=3)

# A reader remembers 64 hours.
_REMEMBERED: Final = timedelta(days=4)

# More than there can be: a reader remembers 64 hours, and a meter is exchanged every ten years. A stream of
# garbage must not fill the memory.
_MOST_REGISTERS: Final = 500
_MOST_EXCHANGES: Final = 50

# Seconds. What is lost with less can be found out again from the recorder.
_SAVE_WITHIN: Final = 6 * 3600

_MOVING: Final = (TariffKey.DEMAND, TariffKey.EXPECTED_DEMAND, TariffKey.AVAILABLE_POWER)

# Values that stay true while no readings arrive.
COUNTED: Final = (TariffKey.PEAK_DEMAND, TariffKey.PREVIOUS_PEAK_DEMAND, TariffKey.DEMAND_LIMIT)


class DemandTracker:
    """The power tariff of one reader."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: EnergySseConfigEntry,
        coordinator: EnergySseCoordinator,
        tariff: Tariff,
        room: Room,
    ) -> None:
        """Prepare. `room` reads from the recorder."""
        units = coordinator.reader.units
        self.tariff = tariff
        self.expects_peak = False
        self.limit: float | None = None
        """W, up to which the running interval does not raise the bill. None where there is no such limit."""

        self.bills: Mapping[Month, Bill] | None = None
        """What the months bill; None until it has been counted."""

        self._hass = hass
        self._entry = entry
        self._coordinator = coordinator
        self._room = room
        self._to_wh = EnergyConverter.converter_factory(units[M.ACTIVE_ENERGY_IMPORT], UnitOfEnergy.WATT_HOUR)
        self._to_w = PowerConverter.converter_factory(units[M.ACTIVE_POWER_IMPORT], UnitOfPower.WATT)
        self._memory = Memory(hass, memory_id(entry), self._what_to_remember)
        self._running = RunningInterval(tariff.interval)
        self._gaps = Gaps(coordinator.readings.freshness)
        self._exchanges: list[Exchange] = []
        self._quarters: Mapping[datetime, float] = {}
        self._registers: dict[datetime, float] = {}
        self._ended: Interval | None = None
        self._counted_until: datetime | None = None
        self._look_interval = max(_LOOK_INTERVAL, entry.options.get(CONF_WRITE_INTERVAL, 0)) - _LOOK_EARLY
        self._look_at = 0.0
        self._waiting: tuple[datetime, float, float] | None = None
        """The last reading, where it has yet to be looked at: its time, power and register."""

        self._told: dict[TariffKey, tuple[float, float | None]] = {}
        """When what moves was told last, and what it was."""

        self._listeners = Listeners(0, coordinator.faults)
        self._faults = coordinator.faults
        self._wake = asyncio.Event()

    async def async_start(self) -> None:
        """Listen to the reader, from its first word, and count until the entry is unloaded."""
        await self._memory.async_recall(self._recall)
        for unsubscribe in (
            self._coordinator.async_listen(self._handle_message),
            self._hass.bus.async_listen(self._room.compiled, self._handle_compiled),
            async_dispatcher_connect(self._hass, SIGNAL_HOURS_FILLED, self._wake.set),
            async_dispatcher_connect(self._hass, SIGNAL_SUMS_RAISED, self._wake.set),
            self._memory.async_close,
        ):
            self._entry.async_on_unload(unsubscribe)
        self._entry.async_create_background_task(self._hass, self._run(), f"{DOMAIN} power tariff")
        self._wake.set()

    # ------------------------------------------------------------------------------- for the entities

    @callback
    def async_add_listener(self, listener: CALLBACK_TYPE, key: TariffKey) -> CALLBACK_TYPE:
        """Listen for news about one of the values. Returns the function that ends it."""
        return self._listeners.add(listener, key)

    def value(self, key: TariffKey) -> float | None:
        """Return a value in W; None where there is none."""
        outlook, limit = self._running.outlook, self.limit
        if key is TariffKey.DEMAND_LIMIT:
            return limit
        if key in COUNTED:
            bill = self.bill(key)
            return None if bill is None else bill.demand
        if outlook is None:
            return None
        if key is TariffKey.DEMAND:
            return outlook.demand
        if key is TariffKey.EXPECTED_DEMAND:
            return outlook.expected
        return None if limit is None else outlook.available(limit)

    def bill(self, key: TariffKey) -> Bill | None:
        """Return what the running month bills, or the one before; None as long as nothing is billed."""
        month = Month.of(dt_util.now())
        return (self.bills or {}).get(month.before if key is TariffKey.PREVIOUS_PEAK_DEMAND else month)

    @property
    def interval_end(self) -> datetime | None:
        """When the running interval ends; None before the first reading."""
        start = self._running.start
        return None if start is None else start + self.tariff.interval

    @property
    def _end(self) -> datetime:
        return self.interval_end or datetime.min.replace(tzinfo=UTC)

    @property
    def report(self) -> dict[str, Any]:
        """What a fault report needs, as JSON can hold it."""
        return {
            "limit": self.limit,
            "expects_peak": self.expects_peak,
            "months": {
                f"{month.year}-{month.month:02}": {
                    "demand": bill.demand,
                    "peaks": [(peak.start.isoformat(), peak.demand) for peak in bill.peaks],
                    "missed": bill.missed,
                }
                for month, bill in (self.bills or {}).items()
            },
            "gaps": [(gap.start.isoformat(), gap.end.isoformat()) for gap in self._gaps.known],
            "exchanges": len(self._exchanges),
        }

    # ------------------------------------------------------------------------------------ what is new

    @callback
    def _handle_message(self, message: Message) -> None:
        match message:
            case Reading(age=0):
                self._handle_reading(message)
            case HourlyRegister() if M.ACTIVE_ENERGY_IMPORT in message.values:
                if len(self._registers) < _MOST_REGISTERS:
                    self._registers[message.full_hour] = self._to_wh(message.values[M.ACTIVE_ENERGY_IMPORT])

    @callback
    def _handle_reading(self, reading: Reading) -> None:
        values = self._coordinator.readings.values
        power = values.get(M.ACTIVE_POWER_IMPORT)
        if power is None:
            return
        now = dt_util.utcnow()
        # What could not be believed is not in the values.
        register = values.get(M.ACTIVE_ENERGY_IMPORT) if M.ACTIVE_ENERGY_IMPORT in reading.values else None
        if (
            register is not None
            and now < self._end
            and clock.now() < self._look_at
            and self._gaps.note_next(now)
        ):
            # Most readings can be skipped: the next register includes what they would tell.
            self._waiting = (now, power, register)
            return
        if self._waiting is not None:
            # It may be the last one of an interval, or before a pause.
            self._follow(*self._waiting, is_missed=False)
            self._waiting = None
        first = self._gaps.first
        is_missed = self._gaps.note(now)
        if self._gaps.first is not first:
            # The recorder can tell now what was before it.
            self._wake.set()
        self._follow(now, power, register, is_missed=is_missed)
        self._look_ahead()
        self._tell_what_has_moved()
        self._look_at = clock.now() + self._look_interval

    def _follow(self, at: datetime, power: float, register: float | None, *, is_missed: bool) -> None:
        """Let the interval that runs follow a reading, in the units of the wire."""
        before = self._running.start
        exchange, ended = self._running.take(
            at, self._to_w(power), None if register is None else self._to_wh(register), is_missed=is_missed
        )
        if exchange is not None:
            self._exchanges = [*self._exchanges, exchange][-_MOST_EXCHANGES:]
            self._memory.save_within(0)
        if self._running.start != before:
            self._ended = ended
            # At once, with what has been counted so far: the new one may count for less, or be another day's.
            self._set_limit()
            self._listeners.tell((TariffKey.DEMAND_LIMIT, TariffKey.PEAK_EXPECTED))
            self._wake.set()

    @callback
    def _look_ahead(self) -> None:
        """Find out whether a peak is expected, and tell when that has changed."""
        outlook = self._running.outlook
        expects = outlook is not None and is_peak_expected(
            outlook.expected, self.limit, was=self.expects_peak
        )
        if expects != self.expects_peak:
            self.expects_peak = expects
            self._listeners.tell([TariffKey.PEAK_EXPECTED])

    @callback
    def _tell_what_has_moved(self) -> None:
        """Tell what has moved by more than noise, and everything once in a while."""
        time, moved = clock.now(), []
        for key in _MOVING:
            value = self.value(key)
            told_at, told = self._told.get(key, (-math.inf, None))
            if time - told_at >= _TELL_WITHIN - _LOOK_EARLY or _has_moved(told, value):
                self._told[key] = (time, value)
                moved.append(key)
        self._listeners.tell(moved)

    @callback
    def _handle_compiled(self, _event: Event) -> None:
        with self._faults.contained("waiting for the recorder"):
            start = start_of(dt_util.utcnow(), self.tariff.interval)
            if self._counted_until is None or self._counted_until < start:
                self._wake.set()

    # --------------------------------------------------------------------------------------- counting

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._faults.contained("counting peaks"):
                await self._count()

    async def _count(self) -> None:
        """Count anew what the months bill, as the recorder has them now."""
        energy_id = self._sensor(M.ACTIVE_ENERGY_IMPORT)
        if energy_id is None:
            return
        now = dt_util.utcnow()
        if self._gaps.is_clock_set(now):
            # What is known by another clock, the next reading makes good.
            return
        zone = dt_util.get_default_time_zone()
        begin = Month.of(dt_util.now()).before.begin(zone).astimezone(UTC) - _MARGIN
        self._forget(begin, now)
        first, number = self._gaps.first, len(self._gaps.known)
        question = Question(
            tariff=self.tariff,
            zone=zone,
            begin=begin,
            now=now,
            unheard=self._gaps.unheard(begin, now),
            pause=self._gaps.pause,
            interval=self._gaps.interval,
            gaps=self._gaps.until(now),
            exchanges=tuple(self._exchanges),
            registers=dict(self._registers),
            quarters=self._quarters,
            ended=self._ended,
        )
        answer = await self._room.read(
            self._hass, count, self._room, energy_id, self._sensor(M.ACTIVE_POWER_NET), question
        )
        if answer is None:
            return
        if first is not None and first is self._gaps.first:
            # What was missed meanwhile is not in the answer.
            self._gaps.settle([*answer.gaps, *self._gaps.known[number:]])
        self._quarters = answer.quarters
        self.bills, self._counted_until = answer.bills, answer.until
        for start, register in answer.registers.items():
            self._running.know_start(start, register)
        self._set_limit()
        self._memory.save_within(_SAVE_WITHIN)
        self._listeners.tell(COUNTED)

    @callback
    def _set_limit(self) -> None:
        start = start_of(dt_util.utcnow(), self.tariff.interval)
        bill = self.bill(TariffKey.PEAK_DEMAND)
        self.limit = None if bill is None else bill.limit(start)
        self._look_ahead()

    def _sensor(self, measurement: M) -> str | None:
        """Return the id of the sensor of a measurement, if the recorder has it."""
        registry = er.async_get(self._hass)
        entity_id = registry.async_get_entity_id(
            Platform.SENSOR, DOMAIN, self._coordinator.registry.unique_id(measurement)
        )
        return entity_id if entity_id is not None and self._room.is_recorded(self._hass, entity_id) else None

    def _forget(self, begin: datetime, now: datetime) -> None:
        """Forget what is older than everything that is counted."""
        self._gaps.forget(begin)
        self._exchanges = [each for each in self._exchanges if each.time > begin]
        self._quarters = {time: energy for time, energy in self._quarters.items() if time >= begin}
        self._registers = {
            hour: register for hour, register in self._registers.items() if hour > now - _REMEMBERED
        }

    # ----------------------------------------------------------------------------------------- memory

    @callback
    def _what_to_remember(self) -> Mapping[str, Any]:
        return {
            **self._gaps.memory,
            "exchanges": [(each.time.timestamp(), each.energy) for each in self._exchanges],
            "quarters": [
                (int(time.timestamp()), round(energy, 3)) for time, energy in self._quarters.items()
            ],
            "running": self._running.memory,
        }

    @callback
    def _recall(self, memory: Mapping[str, Any]) -> None:
        moment = dt_util.utc_from_timestamp
        self._gaps.recall(memory)
        self._exchanges = [
            Exchange(moment(time), float(energy)) for time, energy in memory.get("exchanges", ())
        ]
        self._quarters = {moment(time): float(energy) for time, energy in memory.get("quarters", ())}
        if memory.get("running"):
            self._running.recall(memory["running"])


def _has_moved(before: float | None, after: float | None) -> bool:
    """Tell whether a value has changed by more than noise."""
    if before is None or after is None:
        return before is not after
    return abs(after - before) >= max(_LEAST_MOVE, _LEAST_PART * abs(before))


def memory_id(entry: EnergySseConfigEntry) -> str:
    """Return what the memory of an entry's power tariff is called."""
    return f"{entry.entry_id}.power_tariff"
