"""The power tariff of one reader: boundaries, intervals, bill, and the running interval."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..const import DOMAIN, TariffKey
from ..coordinator import FLUSH, REGISTERS, EnergySseConfigEntry, EnergySseCoordinator
from ..listeners import Listeners, Throttle
from ..memory import Memory
from ..reader import Message, Reading, clock
from ..registers import RegisterHistory, start_of
from .current_interval import CurrentInterval
from .demand import Month, MonthlyPeak, Point, Tariff, intervals_between, is_peak_expected, monthly_peaks

# Seconds. Values that change with every reading are not checked more often.
_CHECK_INTERVAL: Final = 10

# W, part of the value, and seconds. A value that has changed by less is written only after this time: a
# minute, less what a telegram can be early. In the last minutes of an interval, the available power is many
# kilowatts, and changes by some.
_MIN_CHANGE: Final = 100.0
_MIN_PART: Final = 0.05
_WRITE_WITHIN: Final = 59.5

# Seconds. *Peak expected* stays on for them, so that a load that is switched each minute does not switch it.
_PEAK_STAYS: Final = 120

# Seconds.
_SAVE_WITHIN: Final = 900

LIVE_KEYS: Final = (TariffKey.DEMAND, TariffKey.EXPECTED_DEMAND, TariffKey.AVAILABLE_POWER)

# Values that stay valid while no readings arrive.
MONTHLY_KEYS: Final = (TariffKey.PEAK_DEMAND, TariffKey.PREVIOUS_PEAK_DEMAND, TariffKey.DEMAND_LIMIT)


class DemandTracker:
    """Power tariff of one reader."""

    def __init__(
        self,
        hass: HomeAssistant,
        coordinator: EnergySseCoordinator,
        tariff: Tariff,
        supply: float,
        write_interval: float,
    ) -> None:
        """Prepare. The supply carries a power in W. Values are written every so many seconds at most."""
        self.tariff = tariff
        self.expects_peak = False
        self.limit: float | None = None
        """W, up to which the running interval does not raise the bill. None where there is no such limit."""

        self.monthly_peaks: Mapping[Month, MonthlyPeak] | None = None
        """Bills of the months; None while no register is known."""

        self._hass = hass
        self._coordinator = coordinator
        self._supply = supply
        self._running = CurrentInterval(tariff.interval, supply)
        self._followed: RegisterHistory | None = None
        """History that the running interval follows; None before the first reading."""

        self._listeners = Listeners(hass, 0, coordinator.errors)
        self._throttle = Throttle(hass, max(_CHECK_INTERVAL, write_interval), self._check)
        self._changes = _Changes()
        self._peak_stays_until = 0.0
        self._is_outdated = asyncio.Event()

    async def async_start(self, entry: EnergySseConfigEntry) -> None:
        """Follow the reader until the entry is unloaded. The register histories have been restored."""
        memory = Memory(self._hass, memory_id(entry), self._data)
        await memory.async_recall(self._restore)
        for unsubscribe in (
            self._coordinator.async_listen(self._handle_message),
            self._coordinator.async_add_listener(self._is_outdated.set, REGISTERS),
            self._coordinator.async_add_listener(self._throttle.flush, FLUSH),
            self._coordinator.async_listen(lambda _: memory.save_within(_SAVE_WITHIN)),
            memory.async_close,
            self._throttle.reset,
        ):
            entry.async_on_unload(unsubscribe)
        with self._coordinator.errors.guard("calculating the bills"):
            # Before the entities are added, so that they are available at once.
            await self._async_count()
        entry.async_create_background_task(self._hass, self._run(), f"{DOMAIN} power tariff")
        self._is_outdated.set()

    # ------------------------------------------------------------------------------- for the entities

    @callback
    def async_add_listener(self, listener: CALLBACK_TYPE, key: TariffKey) -> CALLBACK_TYPE:
        """Listen for changes of one of the values. Returns the function that removes the listener."""
        return self._listeners.add(listener, key)

    def value(self, key: TariffKey) -> float | None:
        """Return a value in W; None where there is none."""
        match key:
            case TariffKey.DEMAND_LIMIT:
                return self.limit
            case TariffKey.DEMAND:
                return self._running.demand
            case TariffKey.EXPECTED_DEMAND:
                return self._running.expected
            case TariffKey.AVAILABLE_POWER:
                return None if self.limit is None else self._running.available(self.limit)
        bill = self.bill(key)
        return None if bill is None else bill.demand

    def bill(self, key: TariffKey) -> MonthlyPeak | None:
        """Return the bill of this month, or of the one before; None as long as nothing is billed."""
        month = Month.of(dt_util.now())
        return (self.monthly_peaks or {}).get(
            month.before if key is TariffKey.PREVIOUS_PEAK_DEMAND else month
        )

    @property
    def interval_end(self) -> datetime | None:
        """End of the running interval; None before the first reading."""
        start = self._running.start
        return None if start is None else start + self.tariff.interval

    @property
    def report(self) -> dict[str, Any]:
        """Diagnostics, as JSON can hold them."""
        return {
            "limit": self.limit,
            "expects_peak": self.expects_peak,
            "months": {
                f"{month.year}-{month.month:02}": {
                    "demand": bill.demand,
                    "peaks": [(peak.start.isoformat(), peak.demand) for peak in bill.peaks],
                    "missed": bill.missed,
                }
                for month, bill in (self.monthly_peaks or {}).items()
            },
            "boundaries": len(self._history.boundaries),
            "meter_replacements": len(self._history.replacements),
        }

    # --------------------------------------------------------------------------------------- readings

    @property
    def _history(self) -> RegisterHistory:
        return self._coordinator.import_history

    @callback
    def _handle_message(self, message: Message) -> None:
        history = self._history
        point = history.last
        if not isinstance(message, Reading) or message.age or point is None:
            return
        if self._followed not in (None, history):
            self._running = CurrentInterval(self.tariff.interval, self._supply)
        self._followed = history
        if self._running.update(point, history.total(start_of(point.time, self.tariff.interval))):
            # At once, with the present bill, because the new interval can have another weight, or be of
            # another day.
            self._set_limit()
            self._listeners.tell((TariffKey.DEMAND_LIMIT, TariffKey.PEAK_EXPECTED))
            self._throttle.reset()
        self._throttle.request()

    @callback
    def _check(self) -> None:
        """Notify of the values that have changed with the readings."""
        with self._coordinator.errors.guard("checking the running interval"):
            self._check_peak()
            self._listeners.tell(self._changes.update({key: self.value(key) for key in LIVE_KEYS}))

    @callback
    def _check_peak(self) -> None:
        """Find out whether a peak is expected, and notify when that has changed."""
        expected = self._running.expected
        expects = expected is not None and is_peak_expected(expected, self.limit, was=self.expects_peak)
        if expects:
            self._peak_stays_until = clock.now() + _PEAK_STAYS
        elif self.expects_peak and self.limit is not None:
            expects = clock.now() < self._peak_stays_until
        if expects != self.expects_peak:
            self.expects_peak = expects
            self._listeners.tell([TariffKey.PEAK_EXPECTED])

    @callback
    def _set_limit(self) -> None:
        bill = self.bill(TariffKey.PEAK_DEMAND)
        self.limit = None if bill is None else bill.limit(start_of(dt_util.utcnow(), self.tariff.interval))
        self._check_peak()

    # -------------------------------------------------------------------------------------------
    # bills

    async def _run(self) -> None:
        while True:
            await self._is_outdated.wait()
            self._is_outdated.clear()
            with self._coordinator.errors.guard("calculating the bills"):
                await self._async_count()

    async def _async_count(self) -> None:
        """Calculate the bills outside of the event loop, because two months have 6,000 quarters."""
        if self._history.has_register:
            self.monthly_peaks = await self._hass.async_add_executor_job(
                _count,
                dict(self._history.boundaries),
                self.tariff,
                dt_util.utcnow(),
                dt_util.get_default_time_zone(),
            )
        else:
            self.monthly_peaks = None
        self._set_limit()
        self._listeners.tell(MONTHLY_KEYS)
        # The available power follows from the limit.
        self._throttle.request()

    @callback
    def _restore(self, stored: Mapping[str, Any]) -> None:
        if (running := stored.get("running")) is not None:
            self._running.restore(running, self._history.last)

    @callback
    def _data(self) -> Mapping[str, Any]:
        return {"running": self._running.data}


class _Changes:
    """Decides which of the changing values are written."""

    def __init__(self) -> None:
        self._written: dict[TariffKey, tuple[float, float | None]] = {}

    def update(self, values: Mapping[TariffKey, float | None]) -> list[TariffKey]:
        """Return the values to write: those that have changed by more than noise, and each once a minute."""
        now = clock.now()
        changed = []
        for key, value in values.items():
            written_at, written = self._written.get(key, (-_WRITE_WITHIN, None))
            if now - written_at >= _WRITE_WITHIN or _has_changed(written, value):
                self._written[key] = now, value
                changed.append(key)
        return changed


def _has_changed(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) >= max(_MIN_CHANGE, _MIN_PART * abs(before))


def _count(
    boundaries: Mapping[datetime, float], tariff: Tariff, now: datetime, zone: tzinfo
) -> Mapping[Month, MonthlyPeak]:
    points = [
        Point(time, boundaries[time])
        for time in sorted(boundaries)
        if time <= now and time == start_of(time, tariff.interval)
    ]
    return monthly_peaks(tariff, intervals_between(points, tariff.interval), zone)


def memory_id(entry: EnergySseConfigEntry) -> str:
    """Return the key of the stored data of an entry's power tariff."""
    return f"{entry.entry_id}.power_tariff"
