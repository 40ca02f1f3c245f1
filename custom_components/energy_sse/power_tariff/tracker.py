"""Power tariffs of one reader: monthly peaks, and the current interval."""

import asyncio
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, tzinfo
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import callback
from homeassistant.helpers.debounce import Debouncer
from homeassistant.util import dt as dt_util
import voluptuous as vol

from ..const import CONF_WRITE_INTERVAL, DOMAIN, LOGGER, SUBENTRY_POWER_TARIFF, PowerTariffKey
from ..coordinator import EnergySseCoordinator
from ..histories import RegisterUpdate
from ..reader import clock
from ..registers import RegisterHistory, start_of
from ..supply import get_supply
from .current_interval import CurrentInterval
from .days_off import DaysOff
from .demand import (
    Boundary,
    Month,
    MonthlyPeak,
    PowerTariff,
    demand_limit,
    intervals_between,
    is_peak_expected,
    monthly_peaks,
)
from .settings import CONF_DAYS_OFF, get_tariff

# Seconds. Values that change with every reading are not checked more often.
_CHECK_INTERVAL: Final = 10

# W, fraction of the value, and seconds. A value that has changed by less than the larger limit is written
# only after a minute, minus the time by which a telegram can be early. The relative limit is needed because
# the available power is many kilowatts in the last minutes of an interval.
_MIN_CHANGE: Final = 100.0
_MIN_RELATIVE_CHANGE: Final = 0.05
_WRITE_WITHIN: Final = 59.5

# Seconds for which *Peak expected* stays on, so that a load that is switched every minute does not switch it.
_PEAK_HOLD_TIME: Final = 120

LIVE_KEYS: Final = (PowerTariffKey.DEMAND, PowerTariffKey.EXPECTED_DEMAND, PowerTariffKey.AVAILABLE_POWER)

# Values that stay valid while no readings arrive.
MONTHLY_KEYS: Final = (
    PowerTariffKey.PEAK_DEMAND,
    PowerTariffKey.PREVIOUS_PEAK_DEMAND,
    PowerTariffKey.DEMAND_LIMIT,
    PowerTariffKey.PEAK_TIME,
    PowerTariffKey.MISSED_INTERVALS,
    PowerTariffKey.PEAK_COST,
    PowerTariffKey.PREVIOUS_PEAK_COST,
)

_PREVIOUS_MONTH_KEYS: Final = (PowerTariffKey.PREVIOUS_PEAK_DEMAND, PowerTariffKey.PREVIOUS_PEAK_COST)


async def async_setup_tariffs(
    entry: ConfigEntry, coordinator: EnergySseCoordinator
) -> dict[str, DemandTracker]:
    """Return a tracker of each power tariff, by the id of its subentry.

    The coordinator is restored, and not connected yet.
    """
    trackers: dict[str, DemandTracker] = {}
    for subentry in entry.get_subentries_of_type(SUBENTRY_POWER_TARIFF):
        try:
            tariff = get_tariff(subentry.data)
        except vol.Invalid as error:
            # The entities stay in the registry, so that they return when the rules are valid again.
            LOGGER.warning("Ignoring the invalid rules of a power tariff: %s", error)
            continue
        days_off = subentry.data.get(CONF_DAYS_OFF)
        tracker = DemandTracker(coordinator, subentry.subentry_id, tariff, entry.options, days_off)
        await tracker.async_start(entry)
        trackers[subentry.subentry_id] = tracker
    return trackers


class DemandTracker:
    """Tracker of the demand and the monthly peaks of one power tariff."""

    def __init__(
        self,
        coordinator: EnergySseCoordinator,
        subentry_id: str,
        tariff: PowerTariff,
        options: Mapping[str, Any],
        days_off: str | None,
    ) -> None:
        """Create a tracker that is not started, with the options of the reader.

        `days_off` is the id of the entity with the days off; None if no entity is selected.
        """
        self.subentry_id = subentry_id
        self.tariff = tariff
        self.monthly_peaks: Mapping[Month, MonthlyPeak] | None = None
        """None while no register is known."""

        self._coordinator = coordinator
        self._max_power = get_supply(options).max_power
        self._current = CurrentInterval(tariff.interval, self._max_power)
        self._history: RegisterHistory | None = None
        """History of the current interval; None before the first reading."""

        self._debouncer = Debouncer(
            coordinator.hass,
            LOGGER,
            cooldown=max(_CHECK_INTERVAL, options.get(CONF_WRITE_INTERVAL, 0)),
            immediate=True,
            function=self._update_live_values,
        )
        self._written = _WrittenValues()
        self._forecast = _PeakForecast()
        self._is_outdated = True
        """True if the monthly peaks have to be calculated again."""

        self._calculation: asyncio.Task[None] | None = None
        self.days_off: DaysOff | None = None
        """Days off of this power tariff; None if no entity is selected."""

        if days_off is not None:
            self.days_off = DaysOff(
                coordinator.hass, coordinator.store, subentry_id, days_off, self._handle_days_off
            )
            self.tariff = replace(tariff, days_off=self.days_off.days)

    async def async_start(self, entry: ConfigEntry) -> None:
        """Start to process readings, until the entry is unloaded. The register histories must be restored."""
        is_migrated = self._coordinator.devices.is_migrated_tariff(self.subentry_id)
        section = "power_tariff" if is_migrated else f"power_tariff:{self.subentry_id}"
        self._coordinator.store.async_add_section(section, self._as_dict, self._restore)
        entry.async_on_unload(self._coordinator.async_add_reading_listener(self._handle_reading))
        entry.async_on_unload(self._debouncer.async_shutdown)
        # The peaks are calculated before the entities are added, so that these are available at once.
        await self._async_calculate()

    @callback
    def async_flush(self) -> None:
        """Write the pending changes."""
        self._debouncer.async_shutdown()
        self._update_live_values()

    # --------------------------------------------------------------------------------- values

    @property
    def limit(self) -> float | None:
        """Demand limit of the current interval in W; None if there is no limit."""
        return self._forecast.limit

    @property
    def expects_peak(self) -> bool:
        """Return whether the current interval will raise the monthly peak if the present power stays."""
        return self._forecast.expects_peak

    def context(self, key: PowerTariffKey) -> Hashable:
        """Return the context of the entity of a value."""
        return (self.subentry_id, key)

    def _update_entities(self, keys: Iterable[PowerTariffKey]) -> None:
        self._coordinator.async_update_context_listeners([self.context(key) for key in keys])

    def value(self, key: PowerTariffKey) -> float | None:
        """Return a value in W; None if it is unknown."""
        match key:
            case PowerTariffKey.DEMAND_LIMIT:
                return self.limit
            case PowerTariffKey.DEMAND:
                return self._current.demand
            case PowerTariffKey.EXPECTED_DEMAND:
                return self._current.expected_demand
            case PowerTariffKey.AVAILABLE_POWER:
                return None if self.limit is None else self._current.available_power(self.limit)
        peak = self.monthly_peak(key)
        return None if peak is None else peak.demand

    def monthly_peak(self, key: PowerTariffKey) -> MonthlyPeak | None:
        """Return the peaks of this month, or of the previous one; None while there are no peaks."""
        month = Month.of(dt_util.now())
        return (self.monthly_peaks or {}).get(month.previous if key in _PREVIOUS_MONTH_KEYS else month)

    @property
    def interval_end(self) -> datetime | None:
        """End of the current interval; None before the first reading."""
        start = self._current.start
        return None if start is None else start + self.tariff.interval

    @property
    def diagnostics(self) -> dict[str, Any]:
        """Data for the diagnostics, which is JSON serializable."""
        history = self._coordinator.histories.for_power_tariffs
        return {
            "limit": self.limit,
            "expects_peak": self.expects_peak,
            "months": {
                f"{month.year}-{month.month:02}": {
                    "demand": each.demand,
                    "peaks": [(peak.start.isoformat(), peak.demand) for peak in each.peaks],
                    "missed": each.missed,
                }
                for month, each in (self.monthly_peaks or {}).items()
            },
            "boundaries": len(history.boundaries),
            "meter_replacements": len(history.replacements),
            "days_off": self.days_off and self.days_off.diagnostics,
        }

    # --------------------------------------------------------------------------------------- readings

    @callback
    def _handle_reading(self, update: RegisterUpdate) -> None:
        if update.boundaries_changed:
            self._schedule_calculation()
        history = update.histories.for_power_tariffs
        point = history.last
        if update.reading.is_repeated or point is None:
            return
        if self._history not in (None, history):
            self._current = CurrentInterval(self.tariff.interval, self._max_power)
        self._history = history
        if self._current.update(point, history.total(start_of(point.time, self.tariff.interval))):
            # The limit is updated at once, because the new interval can have another weight, or be of another
            # day.
            self._update_limit()
            self._update_entities((PowerTariffKey.DEMAND_LIMIT, PowerTariffKey.PEAK_EXPECTED))
            self._debouncer.async_cancel()
        self._debouncer.async_schedule_call()

    @callback
    def _update_live_values(self) -> None:
        """Update the entities of the values that change with every reading."""
        try:
            self._update_forecast()
            values = {key: self.value(key) for key in LIVE_KEYS}
            self._update_entities(self._written.update(values))
        except Exception:
            LOGGER.exception("Unexpected error while checking the current interval")

    @callback
    def _update_forecast(self) -> None:
        if self._forecast.update(self._current.expected_demand):
            self._update_entities([PowerTariffKey.PEAK_EXPECTED])

    @callback
    def _update_limit(self) -> None:
        start = dt_util.as_local(start_of(dt_util.utcnow(), self.tariff.interval))
        peaks = self.monthly_peaks
        self._forecast.limit = None if peaks is None else demand_limit(self.tariff, peaks, start)
        self._update_forecast()

    # ---------------------------------------------------------------------------------- monthly peaks

    @callback
    def _handle_days_off(self, days: frozenset[date]) -> None:
        self.tariff = replace(self.tariff, days_off=days)
        self._schedule_calculation()

    @callback
    def _schedule_calculation(self) -> None:
        self._is_outdated = True
        if self._calculation is None or self._calculation.done():
            self._calculation = self._coordinator.hass.async_create_task(
                self._async_calculate(), f"{DOMAIN} power tariff"
            )

    async def _async_calculate(self) -> None:
        while self._is_outdated:
            self._is_outdated = False
            try:
                await self._async_update_monthly_peaks()
            except Exception:
                LOGGER.exception("Unexpected error while calculating the monthly peaks")

    async def _async_update_monthly_peaks(self) -> None:
        """Calculate the peaks in the executor, because two months have 6,000 quarter-hours."""
        history = self._coordinator.histories.for_power_tariffs
        if history.has_register:
            self.monthly_peaks = await self._coordinator.hass.async_add_executor_job(
                _calculate_peaks,
                dict(history.boundaries),
                self.tariff,
                dt_util.utcnow(),
                dt_util.get_default_time_zone(),
            )
        else:
            self.monthly_peaks = None
        self._update_limit()
        self._update_entities(MONTHLY_KEYS)
        # The available power follows from the limit.
        self._debouncer.async_schedule_call()

    # ---------------------------------------------------------------------------------------- storage

    @callback
    def _restore(self, data: Mapping[str, Any]) -> None:
        # The current interval is stored under its earlier name.
        if (current := data.get("running")) is not None:
            self._current.restore(current, self._coordinator.histories.for_power_tariffs.last)

    @callback
    def _as_dict(self) -> Mapping[str, Any]:
        return {"running": self._current.as_dict()}


class _PeakForecast:
    """Forecast of a demand in the current interval that raises the monthly peak."""

    def __init__(self) -> None:
        self.limit: float | None = None
        self.expects_peak = False
        self._holds_until = 0.0

    def update(self, expected: float | None) -> bool:
        """Update the forecast from the expected demand in W. Return whether it has changed."""
        before = self.expects_peak
        expects = expected is not None and is_peak_expected(expected, self.limit, was_expected=before)
        if expects:
            self._holds_until = clock.now() + _PEAK_HOLD_TIME
        elif before and self.limit is not None:
            expects = clock.now() < self._holds_until
        self.expects_peak = expects
        return expects != before


class _WrittenValues:
    """Last written values, with which new values are compared."""

    def __init__(self) -> None:
        self._written: dict[PowerTariffKey, tuple[float, float | None]] = {}

    def update(self, values: Mapping[PowerTariffKey, float | None]) -> list[PowerTariffKey]:
        """Return the keys of the values to write: after a large change, and at least once a minute."""
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
    return abs(after - before) >= max(_MIN_CHANGE, _MIN_RELATIVE_CHANGE * abs(before))


def _calculate_peaks(
    boundaries: Mapping[datetime, float], tariff: PowerTariff, now: datetime, zone: tzinfo
) -> Mapping[Month, MonthlyPeak]:
    ends = [
        Boundary(time, boundaries[time])
        for time in sorted(boundaries)
        if time <= now and time == start_of(time, tariff.interval)
    ]
    return monthly_peaks(tariff, intervals_between(ends, tariff.interval), zone)
