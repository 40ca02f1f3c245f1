"""Days off of a power tariff, from a calendar or a binary sensor.

Days are local days. Past days off are kept, even if the entity is removed or its calendar deletes past
events, so that the peaks of a month do not change. They are deleted when the user selects another entity or
clears the field.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_ENTITY_ID, STATE_OFF, STATE_UNAVAILABLE, STATE_UNKNOWN, Platform
from homeassistant.core import CoreState, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import (
    async_track_entity_registry_updated_event,
    async_track_state_change_event,
    async_track_time_change,
)
from homeassistant.helpers.start import async_at_started
from homeassistant.util import dt as dt_util

from ..const import DOMAIN, LOGGER
from ..store import EnergySseStore
from .demand import Month
from .settings import CONF_DAYS_OFF

_WORKDAY: Final = "workday"

# Seconds.
_TIMEOUT: Final = 60
_SAVE_WITHIN: Final = 0

_DAY: Final = timedelta(days=1)


class DaysOff:
    """Days off of one power tariff, from the first day of the previous month until tomorrow."""

    def __init__(
        self,
        hass: HomeAssistant,
        store: EnergySseStore,
        subentry_id: str,
        entity_id: str,
        handle_change: Callable[[frozenset[date]], None],
    ) -> None:
        """Restore the days off. `handle_change` is called with the days off when they change."""
        self._hass = hass
        self._store = store
        self._subentry_id = subentry_id
        self._entity_id = entity_id
        self._handle_change = handle_change
        self.days: frozenset[date] = frozenset()
        """Local days that the entity has marked as days off."""

        self._received: set[date] = set()
        """Days received from *Workday* since its state last changed."""

        self._is_requested = asyncio.Event()
        self._is_failing = False
        """True after a failure was logged, until the days can be read again."""

        store.async_add_section(f"days_off:{subentry_id}", self._as_dict, self._restore)

    @property
    def diagnostics(self) -> dict[str, Any]:
        """Data for the diagnostics, without the days, which can reveal the place."""
        return {"off": len(self.days), "is_failing": self._is_failing}

    @callback
    def async_start(self, entry: ConfigEntry) -> None:
        """Start to read the days from the entity, until the entry is unloaded.

        They are read once Home Assistant has started, on the hour, and when the state of the entity changes.
        """
        entry.async_create_background_task(self._hass, self._async_run(), f"{DOMAIN} days off")
        hass, entity_id, request = self._hass, self._entity_id, self._request
        entry.async_on_unload(async_at_started(hass, request))
        entry.async_on_unload(async_track_time_change(hass, request, minute=0, second=0))
        entry.async_on_unload(async_track_state_change_event(hass, entity_id, self._handle_state))

        @callback
        def handle_registry(event: Event[er.EventEntityRegistryUpdatedData]) -> None:
            data = event.data
            if data["action"] == "update" and "entity_id" in data["changes"]:
                self._follow(entry, data["entity_id"])

        entry.async_on_unload(async_track_entity_registry_updated_event(hass, entity_id, handle_registry))

    @callback
    def _follow(self, entry: ConfigEntry, entity_id: str) -> None:
        """Use the new id of the entity, which the user has renamed. The entry is then reloaded."""
        self._entity_id = entity_id
        self._store.async_save_within(_SAVE_WITHIN)
        subentry = entry.subentries[self._subentry_id]
        data = {**subentry.data, CONF_DAYS_OFF: entity_id}
        self._hass.config_entries.async_update_subentry(entry, subentry, data=data)

    @callback
    def _handle_state(self, event: Event[EventStateChangedData]) -> None:
        old, new = event.data["old_state"], event.data["new_state"]
        # A request can change the attributes of a calendar. Requests after such changes could be endless.
        if old is None or new is None or old.state != new.state:
            self._received = set()
            self._request(event)

    @callback
    def _request(self, _cause: object) -> None:
        # While Home Assistant starts, the entity may not have been added yet.
        if self._hass.state is CoreState.running:
            self._is_requested.set()

    async def _async_run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while True:
            await self._is_requested.wait()
            self._is_requested.clear()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await self._async_update()
            except (Exception, asyncio.CancelledError) as error:
                # The entity's integration can raise any error, and cancel its own task.
                if task.cancelling():
                    raise
                # The text of the error can contain identities.
                self._log_failure(type(error).__name__)

    async def _async_update(self) -> None:
        """Read the days from the entity. Keep the days off while the entity is not available."""
        state = self._hass.states.get(self._entity_id)
        if state is None or state.state in (STATE_UNAVAILABLE, STATE_UNKNOWN):
            self._log_failure("the entity is not available")
            return
        today = dt_util.now().date()
        if state.domain == Platform.CALENDAR:
            days = await self._async_get_days_of_calendar(today)
        elif platform_of(self._hass, self._entity_id) == _WORKDAY:
            days = await self._async_get_days_of_workday(today)
        else:
            days = {today: state.state == STATE_OFF}
        if self._is_failing:
            LOGGER.info("The days off of a power tariff can be read again")
            self._is_failing = False
        self._update(days, today)

    def _log_failure(self, reason: str) -> None:
        if not self._is_failing:
            self._is_failing = True
            LOGGER.warning(
                "The days off of a power tariff cannot be read (%s); unknown days are not days off",
                reason,
            )

    @callback
    def _update(self, days: Mapping[date, bool], today: date) -> None:
        kept = {day for day in self.days if day < today or day not in days}
        off = {day for day, is_off in days.items() if is_off}
        before, self.days = self.days, frozenset(day for day in kept | off if day >= _first_day(today))
        if self.days != before:
            self._store.async_save_within(_SAVE_WITHIN)
            self._handle_change(self.days)

    # --------------------------------------------------------------------------------------- entities

    async def _async_get_days_of_calendar(self, today: date) -> Mapping[date, bool]:
        """Return for each day whether it is off: an event covers the whole day."""
        days = _days_until_tomorrow(today)
        response = await self._async_call(
            Platform.CALENDAR,
            "get_events",
            start_date_time=dt_util.start_of_local_day(days[0]).isoformat(),
            end_date_time=dt_util.start_of_local_day(days[-1] + _DAY).isoformat(),
        )
        events = [(_timestamp(event["start"]), _timestamp(event["end"])) for event in response["events"]]
        return {day: any(_covers(start, end, day) for start, end in events) for day in days}

    async def _async_get_days_of_workday(self, today: date) -> Mapping[date, bool]:
        """Return for each day whether it is off. Past days are requested once until *Workday* changes."""
        days: dict[date, bool] = {}
        received = self._received
        for day in _days_until_tomorrow(today):
            if day >= today or day not in received:
                response = await self._async_call(_WORKDAY, "check_date", check_date=day.isoformat())
                days[day] = not response["workday"]
        # `self._received` is a new set if *Workday* has changed during the requests.
        received.update(days)
        return days

    async def _async_call(self, domain: str, service: str, **data: str) -> dict[str, Any]:
        """Call an action of the entity. Return its response."""
        response: Any = await self._hass.services.async_call(
            domain,
            service,
            {ATTR_ENTITY_ID: self._entity_id, **data},
            blocking=True,
            return_response=True,
        )
        result: dict[str, Any] = response[self._entity_id]
        return result

    # ---------------------------------------------------------------------------------------- storage

    @callback
    def _restore(self, data: Mapping[str, Any]) -> None:
        if data["entity_id"] == self._entity_id:
            self.days = frozenset(map(date.fromisoformat, data["days"]))

    @callback
    def _as_dict(self) -> Mapping[str, Any]:
        return {"entity_id": self._entity_id, "days": [day.isoformat() for day in sorted(self.days)]}


def is_workday_calendar(hass: HomeAssistant, entity_id: str) -> bool:
    """Return whether an entity is the calendar of *Workday*, whose events are working days."""
    return entity_id.startswith(f"{Platform.CALENDAR}.") and platform_of(hass, entity_id) == _WORKDAY


def platform_of(hass: HomeAssistant, entity_id: str) -> str | None:
    """Return the integration of an entity; None if it is not registered."""
    entity = er.async_get(hass).async_get(entity_id)
    return None if entity is None else entity.platform


def _first_day(today: date) -> date:
    """Return the first day of the previous month."""
    return date(*Month.of(today).previous, 1)


def _days_until_tomorrow(today: date) -> list[date]:
    """Return the days from the first day of the previous month until tomorrow.

    Tomorrow is included, because its first interval begins before the response to the request at midnight.
    """
    first = _first_day(today)
    return [first + number * _DAY for number in range((today - first).days + 2)]


def _timestamp(text: str) -> float:
    """Return the Unix time of the start or end of a calendar event. A date is its local midnight."""
    return dt_util.as_local(datetime.fromisoformat(text)).timestamp()


def _covers(start: float, end: float, day: date) -> bool:
    begin, next_begin = (dt_util.start_of_local_day(each).timestamp() for each in (day, day + _DAY))
    return start <= begin and next_begin <= end
