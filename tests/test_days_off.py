"""Days off of a power tariff: calendars, *Workday* and other binary sensors."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, timedelta
import json
import logging
from typing import Any, override

from homeassistant.components.calendar import CalendarEntity, CalendarEvent
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, setup_test_component_platform

from custom_components.energy_sse.const import PowerTariffKey as K
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.power_tariff import days_off
from custom_components.energy_sse.power_tariff.days_off import DaysOff

from .conftest import MakeTimeLapse
from .home_assistant import receive, set_up, tick
from .logs import logged_messages
from .simulators import CurrentlyOneSimulator
from .tariffs import add_tariff, choose_tariff, open_tariff, submit_form, submit_tariff
from .test_power_tariff import RULES, TOLERANCE, Loads, at, choose, counted, draw, intervals, shown
from .time_lapse import TimeLapse
from .wait import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow("power_tariff/*", "tests/time_lapse.py")]

CALENDAR = "calendar.holidays"
SENSOR = "binary_sensor.my_workday"
WORKDAY = "binary_sensor.workday"

# The name of the user's calendar, which no log or report must contain.
SECRET = "holidays"

YESTERDAY, TODAY, TOMORROW = date(2026, 11, 9), date(2026, 11, 10), date(2026, 11, 11)


class Holidays(CalendarEntity):
    """A calendar of the user, which can fail."""

    entity_id = CALENDAR
    _attr_name = "Holidays"
    is_available = True
    shows_requests = False

    def __init__(self, *days: date, unique_id: str | None = None) -> None:
        self._attr_unique_id = unique_id
        self.events = [CalendarEvent(start=day, end=day, summary="Holiday") for day in days]
        self.error: BaseException | None = None
        self.can_respond = asyncio.Event()
        self.can_respond.set()
        self.requests = 0

    @property
    @override
    def available(self) -> bool:
        return self.is_available

    @property
    @override
    def extra_state_attributes(self) -> dict[str, int] | None:
        return {"requests": self.requests} if self.shows_requests else None

    @property
    @override
    def event(self) -> CalendarEvent | None:
        return None

    @override
    async def async_get_events(
        self, hass: HomeAssistant, start_date: datetime, end_date: datetime
    ) -> list[CalendarEvent]:
        self.requests += 1
        await self.can_respond.wait()
        if self.error is not None:
            raise self.error
        return [
            event
            for event in self.events
            if event.start_datetime_local < end_date and event.end_datetime_local > start_date
        ]

    async def add_to(self, hass: HomeAssistant) -> None:
        """Add the calendar to Home Assistant."""
        setup_test_component_platform(hass, "calendar", [self])
        assert await async_setup_component(hass, "calendar", {"calendar": {"platform": "test"}})
        await hass.async_block_till_done()


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return a home on a Tuesday, before Home Assistant is started. Its time is UTC + 1."""
    house = Loads(clock=datetime(2026, 11, 10, 5, 30, tzinfo=UTC), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.has_recorder = False
        time_lapse.interval = timedelta(minutes=10)
        time_lapse.tariff = {**RULES, "days_off": CALENDAR}
        yield time_lapse


def tracked(time_lapse: TimeLapse) -> DaysOff:
    (tracker,) = time_lapse.entry.runtime_data.tariffs.values()
    found = tracker.days_off
    assert isinstance(found, DaysOff)
    return found


async def wait_for_days(time_lapse: TimeLapse, *days: date) -> None:
    """Wait until exactly these days are off, and until the peaks have been calculated."""
    await wait_until(lambda: tracked(time_lapse).days == set(days))
    await time_lapse.settle()


def billed_hours(time_lapse: TimeLapse) -> set[str]:
    return {start for start, _ in intervals(time_lapse)}


def billed_days(time_lapse: TimeLapse) -> set[str]:
    return {hour[:2] for hour in billed_hours(time_lapse)}


# ------------------------------------------------------------------------------------------- calendar


@pytest.mark.smoke
async def test_day_off_is_not_billed(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await Holidays(TODAY).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 8000, at("08:20:00"))
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"
    assert shown(time_lapse, K.DEMAND_LIMIT).state == "unknown"
    assert shown(time_lapse, K.PEAK_EXPECTED).state == "off"
    assert float(shown(time_lapse, K.DEMAND).state) > 8
    await draw(time_lapse, 1000, at("22:59:30"))
    assert shown(time_lapse, K.DEMAND_LIMIT).state == "unknown"
    await draw(time_lapse, 1000, at("01:05:00", 11))
    assert billed_days(time_lapse) == {"11"}
    assert float(shown(time_lapse, K.DEMAND_LIMIT).state) < 2


async def test_day_off_has_the_weight_of_other_times(time_lapse: TimeLapse) -> None:
    time_lapse.tariff = {**RULES, "days_off": CALENDAR, "other_weight": 50}
    await time_lapse.start()
    await Holidays(TODAY).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 8000, at("08:15:00"))
    assert dict(intervals(time_lapse))["10T08:00"] == pytest.approx(
        counted(time_lapse, at("07:00:00")) / 2, abs=TOLERANCE
    )


async def test_past_day_off_is_counted_again_when_chosen(time_lapse: TimeLapse) -> None:
    time_lapse.tariff = RULES
    await time_lapse.start()
    await Holidays(TODAY).add_to(time_lapse.hass)
    await draw(time_lapse, 8000, at("08:05:00"))
    await draw(time_lapse, 500, at("02:05:00", 11))
    before = intervals(time_lapse)
    assert billed_days(time_lapse) == {"10"}
    assert await choose(time_lapse, days_off=CALENDAR) is None
    await wait_for_days(time_lapse, TODAY)
    assert billed_days(time_lapse) == {"11"}
    # A cleared field is left out.
    assert await choose(time_lapse) is None
    assert intervals(time_lapse) == before


async def test_past_day_off_is_kept_when_its_event_is_deleted(time_lapse: TimeLapse) -> None:
    calendar = Holidays(TODAY, TOMORROW)
    await time_lapse.start()
    await calendar.add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY, TOMORROW)
    # The user deletes the event of tomorrow.
    calendar.events = calendar.events[:1]
    await draw(time_lapse, 1000, at("07:05:00"))
    await wait_for_days(time_lapse, TODAY)
    calendar.events = []
    await draw(time_lapse, 1000, at("22:50:00"))
    await wait_for_days(time_lapse)
    calendar.events = Holidays(TODAY).events
    await draw(time_lapse, 1000, at("23:05:00"))
    await wait_for_days(time_lapse, TODAY)
    # A calendar can delete past events.
    calendar.events = []
    requests = calendar.requests
    await draw(time_lapse, 1000, at("01:05:00", 11))
    await wait_until(lambda: calendar.requests > requests)
    await wait_for_days(time_lapse, TODAY)


@pytest.mark.parametrize(
    ("begin", "end", "days"),
    [
        ("2026-11-10T00:00+01:00", "2026-11-11T00:00+01:00", {TODAY}),
        ("2026-11-09T12:00+01:00", "2026-11-12T00:00+01:00", {TODAY, TOMORROW}),
        ("2026-11-10T00:00+00:00", "2026-11-11T00:00+00:00", set()),
        ("2026-11-10T08:00+01:00", "2026-11-10T17:00+01:00", set()),
    ],
)
async def test_event_with_times_has_to_last_the_whole_day(
    time_lapse: TimeLapse, begin: str, end: str, days: set[date]
) -> None:
    calendar = Holidays()
    times = (datetime.fromisoformat(each) for each in (begin, end))
    calendar.events = [CalendarEvent(next(times), next(times), "Bridge day")]
    await time_lapse.start()
    await calendar.add_to(time_lapse.hass)
    await wait_until(lambda: not tracked(time_lapse).diagnostics["is_failing"])
    assert tracked(time_lapse).days == days


async def test_days_off_of_the_previous_month_are_read(time_lapse: TimeLapse) -> None:
    days = date(2026, 9, 30), date(2026, 10, 1), TOMORROW, TOMORROW + timedelta(days=1)
    await time_lapse.start()
    await Holidays(*days).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, *days[1:3])


async def test_days_of_older_months_are_deleted(make_time_lapse: MakeTimeLapse) -> None:
    house = Loads(clock=datetime(2026, 11, 30, 22, 30, tzinfo=UTC), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.has_recorder = False
        time_lapse.tariff = {**RULES, "days_off": CALENDAR}
        await time_lapse.start()
        await Holidays(date(2026, 10, 1), TODAY).add_to(time_lapse.hass)
        await wait_for_days(time_lapse, date(2026, 10, 1), TODAY)
        await time_lapse.run_for(minutes=40)
        await wait_for_days(time_lapse, TODAY)


@pytest.mark.parametrize(
    ("clock", "day", "hours"),
    [
        (datetime(2026, 10, 24, 20, 30, tzinfo=UTC), date(2026, 10, 25), 25),
        (datetime(2027, 3, 27, 21, 30, tzinfo=UTC), date(2027, 3, 28), 23),
    ],
)
async def test_day_off_has_the_hours_of_its_local_day(
    make_time_lapse: MakeTimeLapse, clock: datetime, day: date, hours: int
) -> None:
    house = Loads(clock=clock, appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.has_recorder = False
        time_lapse.interval = timedelta(minutes=10)
        time_lapse.tariff = {**RULES, "peaks": 10, "days_off": CALENDAR}
        await time_lapse.start()
        await Holidays(day).add_to(time_lapse.hass)
        await wait_for_days(time_lapse, day)
        # The hour before the day, the day, and the hour after it.
        await time_lapse.run_for(hours=hours + 2, minutes=45)
        before, after = day - timedelta(days=1), day + timedelta(days=1)
        assert billed_hours(time_lapse) == {f"{before.day}T23:00", f"{after.day}T00:00"}


# ------------------------------------------------------------------------------------------- failures


async def test_entity_is_not_read_while_home_assistant_starts(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    hass.set_state(CoreState.starting)
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    hass.states.async_set(SENSOR, "unavailable")
    assert await choose_tariff(hass, entry, days_off=SENSOR) is None
    await hass.async_block_till_done()
    (tracker,) = entry.runtime_data.tariffs.values()
    hass.states.async_set(SENSOR, "off")
    await hass.async_block_till_done()
    assert tracker.days_off.diagnostics == {"off": 0, "is_failing": False}
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await wait_until(lambda: tracker.days_off.days == {dt_util.now().date()})
    assert logged_messages(caplog, logging.WARNING) == []


async def test_calendar_is_read_once_it_is_available(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    calendar = Holidays(TODAY)
    calendar.is_available = False
    await time_lapse.start()
    await calendar.add_to(time_lapse.hass)
    await draw(time_lapse, 8000, at("09:05:00"))
    assert billed_days(time_lapse) == {"10"}
    assert calendar.requests == 0
    (warning,) = logged_messages(caplog, logging.WARNING)
    assert "cannot be read (the entity is not available)" in warning
    assert SECRET not in warning
    calendar.is_available = True
    calendar.async_write_ha_state()
    await wait_for_days(time_lapse, TODAY)
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"
    assert logged_messages(caplog)[-1] == "The days off of a power tariff can be read again"


# A calendar can cancel its own task.
@pytest.mark.parametrize("error", [RuntimeError(SECRET), asyncio.CancelledError(SECRET)], ids=repr)
async def test_failing_calendar_is_read_again_every_hour(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    calendar = Holidays(TODAY)
    calendar.error = error
    await time_lapse.start()
    await calendar.add_to(time_lapse.hass)
    await draw(time_lapse, 8000, at("09:05:00"))
    await wait_until(lambda: calendar.requests == 5)
    assert billed_days(time_lapse) == {"10"}
    # The first warning is about the time before the calendar was added.
    (warning,) = logged_messages(caplog, logging.WARNING)
    assert SECRET not in warning
    calendar.error = None
    await draw(time_lapse, 8000, at("10:05:00"))
    await wait_for_days(time_lapse, TODAY)
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"
    calendar.error = error
    requests = calendar.requests
    await draw(time_lapse, 8000, at("13:05:00"))
    await wait_until(lambda: calendar.requests == requests + 3)
    assert tracked(time_lapse).days == {TODAY}
    (_, warning) = logged_messages(caplog, logging.WARNING)
    assert f"({type(error).__name__})" in warning


async def test_slow_calendar_does_not_delay_readings(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calendar = Holidays(dt_util.now().date())
    await calendar.add_to(hass)
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    assert await choose_tariff(hass, entry) is None
    await hass.async_block_till_done()
    calendar.can_respond.clear()
    (subentry,) = entry.subentries.values()
    count = currentlyone.stream_count
    hass.config_entries.async_update_subentry(entry, subentry, data={**subentry.data, "days_off": CALENDAR})
    await wait_until(lambda: currentlyone.stream_count > count and currentlyone.streams)
    await wait_until(lambda: calendar.requests)
    for _ in range(2):
        await receive(entry, currentlyone, currentlyone.tick())
    # Unloading ends the request.
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    monkeypatch.setattr(days_off, "_TIMEOUT", 0)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(
        lambda: any("(TimeoutError)" in each for each in logged_messages(caplog, logging.WARNING))
    )


async def test_changed_attributes_do_not_cause_requests(time_lapse: TimeLapse) -> None:
    calendar = Holidays(TODAY)
    calendar.shows_requests = True
    await time_lapse.start()
    await calendar.add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    # Home Assistant updates a polled entity after each request.
    assert calendar.should_poll
    await draw(time_lapse, 1000, at("06:05:00"))
    state = time_lapse.hass.states.get(CALENDAR)
    assert state is not None
    assert (state.attributes["requests"], calendar.requests) == (2, 2)


async def test_past_days_off_are_kept_without_the_calendar(time_lapse: TimeLapse) -> None:
    calendar = Holidays(TODAY)
    await time_lapse.start()
    await calendar.add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 8000, at("08:05:00"))
    await calendar.async_remove()
    await draw(time_lapse, 1000, at("01:05:00", 11))
    assert billed_days(time_lapse) == {"11"}
    # The form accepts the removed calendar.
    assert await choose(time_lapse, days_off=CALENDAR, price=5) is None
    assert billed_days(time_lapse) == {"11"}


async def test_days_off_are_known_at_once_after_a_restart(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await Holidays(TODAY, TOMORROW).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY, TOMORROW)
    await draw(time_lapse, 8000, at("08:05:00"))
    await time_lapse.crash()
    caplog.clear()
    await time_lapse.start()
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"
    await draw(time_lapse, 1000, at("01:05:00", 12))
    assert billed_days(time_lapse) == {"12"}
    # The calendar is missing now.
    assert len(logged_messages(caplog, logging.WARNING)) == 1


@pytest.mark.errors
@pytest.mark.parametrize("damaged", [{}, [], {"entity_id": CALENDAR, "days": ["tomorrow"]}], ids=str)
async def test_damaged_days_are_ignored(time_lapse: TimeLapse, damaged: Any) -> None:
    await time_lapse.start()
    await Holidays(TODAY).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 8000, at("08:05:00"))
    await time_lapse.stop()
    time_lapse.store("days_off:tariff", damaged)
    await time_lapse.start()
    assert billed_days(time_lapse) == {"10"}
    await Holidays(TODAY).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"


async def test_renamed_calendar_is_followed(time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture) -> None:
    await time_lapse.start()
    calendar = Holidays(YESTERDAY, TODAY, unique_id="holidays")
    await calendar.add_to(time_lapse.hass)
    await wait_for_days(time_lapse, YESTERDAY, TODAY)
    before = dict(next(iter(time_lapse.entry.subentries.values())).data)
    caplog.clear()
    er.async_get(time_lapse.hass).async_update_entity(CALENDAR, new_entity_id="calendar.renamed")
    await time_lapse.settle()
    (subentry,) = time_lapse.entry.subentries.values()
    assert subentry.data == {**before, "days_off": "calendar.renamed"}
    # The past days are kept, though the calendar does not have them any more.
    calendar.events = [CalendarEvent(start=TODAY, end=TODAY, summary="Holiday")]
    await wait_until(lambda: calendar.requests > 1)
    await wait_for_days(time_lapse, YESTERDAY, TODAY)
    calendar.events = [CalendarEvent(start=TOMORROW, end=TOMORROW, summary="Holiday")]
    await draw(time_lapse, 8000, at("08:05:00"))
    await wait_for_days(time_lapse, YESTERDAY, TOMORROW)
    assert logged_messages(caplog, logging.WARNING) == []


async def test_changed_registry_entry_of_the_calendar_is_not_a_rename(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await Holidays(TODAY, unique_id="holidays").add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    tracker = tracked(time_lapse)
    er.async_get(time_lapse.hass).async_update_entity(CALENDAR, name="Days off")
    await time_lapse.settle()
    assert tracked(time_lapse) is tracker


async def test_days_are_requested_once_the_reader_is_connected(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await time_lapse.disconnect_reader()
    calendar = Holidays(TODAY)
    await calendar.add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    await calendar.async_remove()
    caplog.clear()
    requests = calendar.requests
    await time_lapse.hass.config_entries.async_reload(time_lapse.entry.entry_id)
    await time_lapse.run_for(minutes=30)
    assert time_lapse.entry.state is ConfigEntryState.SETUP_RETRY
    assert (calendar.requests, logged_messages(caplog, logging.WARNING)) == (requests, [])
    await time_lapse.reconnect_reader()
    await wait_until(lambda: logged_messages(caplog, logging.WARNING))
    assert tracked(time_lapse).days == {TODAY}


async def test_days_are_kept_while_the_clock_is_behind(time_lapse: TimeLapse) -> None:
    time_lapse.tariff = {**RULES, "days_off": SENSOR}
    await time_lapse.start()
    time_lapse.hass.states.async_set(SENSOR, "off")
    await wait_for_days(time_lapse, TODAY)
    await time_lapse.stop()
    time_lapse.set_clock(timedelta(days=-3))
    await time_lapse.start()
    time_lapse.hass.states.async_set(SENSOR, "off")
    await wait_for_days(time_lapse, TODAY - timedelta(days=3), TODAY)


async def test_days_of_another_entity_are_not_kept(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await Holidays(YESTERDAY, TODAY).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, YESTERDAY, TODAY)
    await draw(time_lapse, 8000, at("08:05:00"))
    hass = time_lapse.hass
    hass.states.async_set("binary_sensor.other", "on")
    assert await choose(time_lapse, days_off="binary_sensor.other") is None
    await wait_for_days(time_lapse)
    assert billed_days(time_lapse) == {"10"}


# ------------------------------------------------------------------------------------- binary sensors


async def test_binary_sensor_that_is_off_makes_today_a_day_off(time_lapse: TimeLapse) -> None:
    time_lapse.tariff = {**RULES, "days_off": SENSOR}
    await time_lapse.start()
    hass = time_lapse.hass
    assert await async_setup_component(hass, "input_boolean", {"input_boolean": {"work": None}})
    template = {
        "binary_sensor": {"name": "My workday", "state": "{{ is_state('input_boolean.work', 'on') }}"}
    }
    assert await async_setup_component(hass, "template", {"template": template})
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 8000, at("08:05:00"))
    assert shown(time_lapse, K.PEAK_DEMAND).state == "unknown"
    await switch(time_lapse, "on")
    await wait_for_days(time_lapse)
    assert billed_days(time_lapse) == {"10"}
    await switch(time_lapse, "off")
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 1000, at("23:05:00"))
    await wait_for_days(time_lapse, TODAY, TOMORROW)
    await switch(time_lapse, "on")
    await wait_for_days(time_lapse, TODAY)
    await draw(time_lapse, 1000, at("00:15:00", 11))
    assert billed_hours(time_lapse) == {"11T00:00"}


async def switch(time_lapse: TimeLapse, state: str) -> None:
    await time_lapse.hass.services.async_call(
        "input_boolean", f"turn_{state}", {"entity_id": "input_boolean.work"}, blocking=True
    )


async def test_past_days_off_of_workday_are_read(time_lapse: TimeLapse) -> None:
    time_lapse.tariff = {**RULES, "days_off": WORKDAY}
    await time_lapse.start()
    await draw(time_lapse, 8000, at("08:05:00"))
    await draw(time_lapse, 500, at("01:05:00", 11))
    assert billed_days(time_lapse) == {"10"}
    calls: list[Any] = []
    time_lapse.hass.bus.async_listen("call_service", calls.append)
    workday = await add_workday(time_lapse.hass, TODAY)
    weekends = [date(2026, 10, 3) + timedelta(days=7 * n + m) for n in range(6) for m in range(2)]
    await wait_for_days(time_lapse, TODAY, *weekends)
    assert billed_days(time_lapse) == {"11"}
    # One request for each day of October, and of November until tomorrow.
    assert len(calls) == 31 + 12
    # The next update requests only today and tomorrow.
    await draw(time_lapse, 500, at("02:05:00", 11))
    await wait_until(lambda: len(calls) == 31 + 12 + 2)
    # A holiday that was missing in the settings.
    missing = date(2026, 11, 5)
    options = {**workday.options, "add_holidays": [TODAY.isoformat(), missing.isoformat()]}
    time_lapse.hass.config_entries.async_update_entry(workday, options=options)
    await time_lapse.hass.config_entries.async_reload(workday.entry_id)
    await wait_for_days(time_lapse, TODAY, missing, *weekends)


async def add_workday(hass: HomeAssistant, *days: date) -> MockConfigEntry:
    """Add the integration *Workday*, with holidays that the user has entered."""
    entry = MockConfigEntry(
        domain="workday",
        title="Workday",
        version=1,
        minor_version=2,
        options={
            "workdays": ["mon", "tue", "wed", "thu", "fri"],
            "excludes": ["sat", "sun", "holiday"],
            "days_offset": 0,
            "add_holidays": [day.isoformat() for day in days],
            "remove_holidays": [],
        },
    )
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


# ----------------------------------------------------------------------------------------------- form


@pytest.fixture
async def entry(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> MockConfigEntry:
    """Return a reader with a reading, in a home with a calendar and a sensor."""
    hass.states.async_set(CALENDAR, "off")
    hass.states.async_set(SENSOR, "on")
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    return entry


async def shown_days_off(hass: HomeAssistant, entry: MockConfigEntry) -> str | None:
    """Return the entity in the form of the only power tariff."""
    form = await open_tariff(hass, entry, next(iter(entry.subentries)))
    form = await submit_form(hass, form, {})
    assert form["data_schema"] is not None
    (key,) = (key for key in form["data_schema"].schema if key == "days_off")
    assert form["data_schema"]({}).get("days_off") is None
    hass.config_entries.subentries.async_abort(form["flow_id"])
    value: str | None = key.description["suggested_value"]
    return value


@pytest.mark.smoke
async def test_chosen_entity_is_stored_and_can_be_cleared(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    await add_tariff(hass, entry)
    (subentry,) = entry.subentries.values()
    assert "days_off" not in subentry.data
    assert await shown_days_off(hass, entry) is None
    for entity_id in (CALENDAR, SENSOR):
        assert await choose_tariff(hass, entry, days_off=entity_id) is None
        assert subentry.data["days_off"] == entity_id
        assert await shown_days_off(hass, entry) == entity_id
    hass.states.async_remove(SENSOR)
    assert await choose_tariff(hass, entry, days_off=SENSOR, price=5) is None
    assert (subentry.data["days_off"], subentry.data["price"]) == (SENSOR, 5)
    assert await choose_tariff(hass, entry) is None
    assert "days_off" not in subentry.data


@pytest.mark.parametrize("is_new", [True, False])
async def test_missing_entity_is_an_error_at_its_field(
    hass: HomeAssistant, entry: MockConfigEntry, *, is_new: bool
) -> None:
    if not is_new:
        await add_tariff(hass, entry)
    form = await open_tariff(hass, entry, next(iter(entry.subentries), None))
    for _ in range(2):
        form = await submit_tariff(hass, form, {"days_off": "calendar.missing"})
        assert (form["step_id"], form["errors"]) == ("times", {"days_off": "no_entity"})
    result = await submit_tariff(hass, form, {"days_off": CALENDAR})
    assert result["type"] is (FlowResultType.CREATE_ENTRY if is_new else FlowResultType.ABORT)


async def test_entity_of_another_domain_is_rejected(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    form = await submit_form(hass, await open_tariff(hass, entry), {})
    with pytest.raises(InvalidData) as error:
        await submit_form(hass, form, {"days_off": "light.kitchen"})
    assert list(error.value.schema_errors) == ["days_off"]


async def test_calendar_of_workday_is_an_error_at_its_field(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    workday = await add_workday(hass)
    entities = er.async_entries_for_config_entry(er.async_get(hass), workday.entry_id)
    by_domain = {each.domain: each.entity_id for each in entities}
    form = await submit_tariff(hass, await open_tariff(hass, entry), {"days_off": by_domain["calendar"]})
    assert (form["step_id"], form["errors"]) == ("times", {"days_off": "workdays"})
    result = await submit_tariff(hass, form, {"days_off": by_domain["binary_sensor"]})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_entity_with_days_off_is_redacted(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await Holidays(TODAY).add_to(time_lapse.hass)
    await wait_for_days(time_lapse, TODAY)
    report = await async_get_config_entry_diagnostics(time_lapse.hass, time_lapse.entry)
    assert report["entry"]["subentries"] == [{**RULES, "days_off": "**REDACTED**"}]
    (tariff,) = report["power_tariffs"]
    assert tariff["days_off"] == {"off": 1, "is_failing": False}
    assert SECRET not in json.dumps(report, default=str)
