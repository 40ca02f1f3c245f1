"""Owns the connection to one reader, keeps what it says, and tells the entities."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime
import logging
from typing import Any, Final, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.event import async_call_later, async_track_utc_time_change
from homeassistant.helpers.update_coordinator import BaseDataUpdateCoordinatorProtocol
from homeassistant.util import dt as dt_util

from .appliances import Appliance, ApplianceEvent, Appliances
from .const import CONF_COUNTERS, CONF_KIND, CONF_WRITE_INTERVAL, DOMAIN, CounterKind
from .findings import Findings
from .issues import Issue, Issues
from .memory import Memory
from .presence import is_shown
from .reader import (
    ConnectionState,
    CounterReading,
    Detection,
    Freshness,
    Inventory,
    Measurement,
    Message,
    Property,
    ReaderAuthenticationError,
    ReaderConnection,
    ReaderError,
    ReaderInfo,
    ReaderKind,
    ReaderMismatchError,
    ReaderStatus,
    Reading,
    Transition,
    clock,
    default_name,
    make_reader,
)
from .readings import Readings
from .registry import Registry

_LOGGER = logging.getLogger(__name__)

type EnergySseConfigEntry = ConfigEntry[EnergySseCoordinator]

# Seconds. Longer than every timeout of a first attempt, so that the attempt itself says what went wrong.
_FIRST_CONTACT_TIMEOUT: Final = 60

# Seconds of readings after which they are said to be back.
_BACK_AFTER: Final = 60

# Seconds. What the registers were is remembered no more exactly, so that a memory card lives.
_REMEMBER_WITHIN: Final = 300

# More than any meter passes on; a stream of garbage must not fill the registries.
_MOST_COUNTERS: Final = 32

# What the meter status is when the reader cannot read what the meter sends.
_KEY_IS_MISSING: Final = ("KEY REQUIRED", "ENCRYPTION KEY")

_SCALE_ISSUES: Final = {
    Measurement.ACTIVE_ENERGY_IMPORT: Issue.SCALE_ERROR_IMPORT,
    Measurement.ACTIVE_ENERGY_EXPORT: Issue.SCALE_ERROR_EXPORT,
}

# What a listener is about, when it is about neither a measurement nor a property nor a device.
CONNECTION: Final = object()


class EnergySseCoordinator(BaseDataUpdateCoordinatorProtocol):
    """The state of one reader.

    A listener's context says what it is about: a measurement, a property, an appliance, the identifier of a
    counter's device, or the connection. It is called when there is something new about it, or when its
    availability changes.
    """

    def __init__(self, hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
        """Prepare, with what is remembered from before a restart. Connects to nothing yet."""
        assert entry.unique_id is not None
        self.reader = make_reader(
            ReaderKind(entry.data[CONF_KIND]),
            async_get_clientsession(hass),
            entry.data[CONF_HOST],
            entry.data.get(CONF_PASSWORD),
        )
        self.registry = Registry(hass, entry)

        self.firmware: str | None = None
        self.readings = Readings(self.reader.units)
        self.status: Mapping[Property, str | float | bool | datetime] = {}
        self.counters: dict[str, CounterReading] = {}
        self.appliances = Appliances(self.registry.appliances())

        self.found_measurements = Findings(self.registry.measurements())
        self.found_properties = Findings(self.registry.properties())
        self.found_counters = Findings(self.registry.counters())
        self.found_appliances = Findings(self.appliances)
        self.found_multi_state_appliances = Findings[Appliance]()

        self.link_is_up = False
        """Whether there is a stream at this moment."""

        self.is_connected = False
        """Whether the device has shown signs of life lately. A short drop of the link changes nothing."""

        self.has_fresh_readings = False
        """Whether the meter has been heard lately, and the values can be believed."""

        self._hass = hass
        self._entry = entry
        self._connection = ReaderConnection(self.reader, entry.unique_id, self)
        self._first_contact: asyncio.Future[None] = hass.loop.create_future()
        self._issues = Issues(hass, entry)
        self._memory = Memory(hass, entry.entry_id, self._what_to_remember)
        self._last_error: ReaderError | None = None
        self._readings_were_lost = False
        self._fresh_since = 0.0
        self._signs_of_life = Freshness()
        self._expiry_job = HassJob(self._update_availability, cancel_on_shutdown=True)
        self._cancel_expiry: CALLBACK_TYPE | None = None
        self._write_interval = float(entry.options.get(CONF_WRITE_INTERVAL, 0))
        self._write_at = 0.0
        self._unwritten: dict[Measurement, float] = {}
        self._listeners: defaultdict[Any, list[CALLBACK_TYPE]] = defaultdict(list)
        self._message_listeners: list[Callable[[Message], None]] = []

    async def async_start(self) -> None:
        """Connect, and return when the device has said who it is.

        Raises ConfigEntryNotReady or ConfigEntryAuthFailed.
        """
        self._recall(await self._memory.async_load())
        self._entry.async_on_unload(self._memory.async_close)
        self._entry.async_on_unload(self._stop_watching)
        if self._write_interval:
            # The recorder closes the hour with what has been written by then.
            self._entry.async_on_unload(
                async_track_utc_time_change(
                    self._hass, self._write_before_the_hour_ends, minute=59, second=59
                )
            )
        self._entry.async_create_background_task(self._hass, self._run(), f"{DOMAIN} stream")
        try:
            async with asyncio.timeout(_FIRST_CONTACT_TIMEOUT):
                await self._first_contact
        except ReaderAuthenticationError as error:
            raise ConfigEntryAuthFailed(translation_domain=DOMAIN, translation_key="invalid_auth") from error
        except (ReaderError, TimeoutError) as error:
            raise ConfigEntryNotReady(
                translation_domain=DOMAIN,
                translation_key="cannot_connect",
                translation_placeholders={"reason": str(error) or "it does not say who it is"},
            ) from error

    # ----------------------------------------------------------------------------- for the integration

    @callback
    @override
    def async_add_listener(self, update_callback: CALLBACK_TYPE, context: Any = None) -> CALLBACK_TYPE:
        """Listen for news about a context. Returns the function that ends it."""
        self._listeners[context].append(update_callback)
        return lambda: self._listeners[context].remove(update_callback)

    @callback
    def async_listen(self, listener: Callable[[Message], None]) -> CALLBACK_TYPE:
        """Listen to everything that the reader says. Returns the function that ends it."""
        self._message_listeners.append(listener)
        return lambda: self._message_listeners.remove(listener)

    @callback
    def async_seen_at(self, host: str) -> None:
        """Take notice of an announcement of the reader, at its address or at another one."""
        self._connection.seen_at(host)

    @property
    def connection_state(self) -> ConnectionState:
        """Where the connection is."""
        return self._connection.state

    def counter_kind(self, meter_id: str) -> CounterKind:
        """Return what a counter counts, by what its owner has chosen."""
        return CounterKind(self._entry.options.get(CONF_COUNTERS, {}).get(meter_id, CounterKind.NONE))

    @callback
    def async_forget(self, device: DeviceEntry) -> bool:
        """Forget a device below the reader. Returns False for one that is still there.

        It is new, should it ever speak again.
        """
        for appliance in self.appliances:
            if self.registry.appliance(appliance.id) in device.identifiers:
                if not self.appliances.forget(appliance):
                    return False
                self.found_appliances.discard(appliance)
                self.found_multi_state_appliances.discard(appliance)
                return True
        for meter_id in list(self.found_counters):
            if self.registry.counter(meter_id) in device.identifiers:
                if meter_id in self.counters:
                    return False
                self.found_counters.discard(meter_id)
                return True
        return False

    # -------------------------------------------------------------------------------- from the reader

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except ReaderAuthenticationError as error:
            is_setting_up = not self._first_contact.done()
            self.connection_lost(error)
            if not is_setting_up:
                self._entry.async_start_reauth(self._hass)

    @callback
    def message_arrived(self, message: Message) -> None:
        """Take in what the reader says."""
        self._signs_of_life.heard(clock.now())
        match message:
            case Reading():
                self._handle_reading(message)
            case CounterReading():
                self._handle_counter(message)
            case Transition() | Detection():
                self._handle_report(message)
            case Inventory():
                self._handle_inventory(message)
            case ReaderStatus():
                self._handle_status(message)
            case ReaderInfo():
                self._handle_info(message)
        if not self.is_connected:
            self._update_availability()
        for listener in self._message_listeners:
            listener(message)

    @callback
    def _handle_info(self, info: ReaderInfo) -> None:
        self._last_error = None
        self._issues.close(Issue.WRONG_DEVICE)
        self.firmware = info.firmware
        self.registry.register_reader(self.reader, info)
        for meter_id in self.found_counters:
            self.registry.register_counter(meter_id, self.counter_kind(meter_id))
        self._set_link(is_up=True)
        if not self._first_contact.done():
            self._first_contact.set_result(None)

    @callback
    def reader_moved(self, host: str) -> None:
        """Remember where the reader has proved to be now."""
        _LOGGER.info("The %s has moved to another address", self.reader.model)
        self._hass.config_entries.async_update_entry(self._entry, data={**self._entry.data, CONF_HOST: host})

    @callback
    def contention_changed(self, *, is_contended: bool) -> None:
        """Tell the user that another client takes the stream, until it does so no more."""
        if is_contended:
            self._issues.raise_issue(Issue.STREAM_CONTENDED)
        else:
            self._issues.close(Issue.STREAM_CONTENDED)

    @callback
    def connection_lost(self, error: ReaderError) -> None:
        """Take notice that the stream ended, or could not be had."""
        self._last_error = error
        if isinstance(error, ReaderMismatchError):
            found = error.found
            self._issues.raise_issue(
                Issue.WRONG_DEVICE,
                host=self._entry.data[CONF_HOST],
                found=found.name or default_name(found.kind, found.id),
            )
        _LOGGER.debug("The stream ended: %s", error)
        self._set_link(is_up=False)
        if not self._first_contact.done():
            self._first_contact.set_exception(error)

    @callback
    def _set_link(self, *, is_up: bool) -> None:
        if self.link_is_up != is_up:
            self.link_is_up = is_up
            self._notify([CONNECTION])

    @callback
    def _handle_status(self, status: ReaderStatus) -> None:
        properties = {*self.status, *status.values}
        changed = [p for p in properties if self.status.get(p) != status.values.get(p)]
        self.status = status.values
        interval = status.values.get(Property.REPORT_INTERVAL)
        self.readings.freshness.announced_interval = interval if isinstance(interval, float | int) else None
        if status.values.get(Property.METER_STATUS) in _KEY_IS_MISSING:
            self._issues.raise_issue(Issue.METER_KEY_REQUIRED)
        else:
            self._issues.close(Issue.METER_KEY_REQUIRED)
        self._notify(changed)
        self.found_properties.add(status.values)

    @callback
    def _handle_counter(self, counter: CounterReading) -> None:
        known = self.counters.get(counter.meter_id)
        if (counter.value is None and known is not None) or (
            known is None and len(self.counters) >= _MOST_COUNTERS
        ):
            return
        self.counters[counter.meter_id] = counter
        if counter.value is None:
            return
        if counter.meter_id not in self.found_counters:
            self.registry.register_counter(counter.meter_id, self.counter_kind(counter.meter_id))
            self.found_counters.add([counter.meter_id])
        elif known is None or known.value != counter.value:
            self._notify([self.registry.counter(counter.meter_id)])

    # ------------------------------------------------------------------------------------- appliances

    @callback
    def _handle_inventory(self, inventory: Inventory) -> None:
        for appliance in self.appliances.learn(inventory):
            self._handle_appliance(appliance, None)

    @callback
    def _handle_report(self, report: Transition | Detection) -> None:
        heard = self.appliances.heard(report, dt_util.utcnow())
        if heard is not None:
            self._handle_appliance(*heard)
            self._memory.save_now()

    @callback
    def _handle_appliance(self, appliance: Appliance, event: ApplianceEvent | None) -> None:
        self.registry.register_appliance(appliance)
        self.found_appliances.add([appliance])
        if appliance.has_many_states:
            self.found_multi_state_appliances.add([appliance])
        if event is not None:
            appliance.waiting.append(event)
        self._notify([appliance])

    # --------------------------------------------------------------------------------------- readings

    @callback
    def _handle_reading(self, reading: Reading) -> None:
        now = clock.now()
        changed = self.readings.take(reading, now)
        if not changed:
            return
        if not self.has_fresh_readings:
            self._update_availability()
        else:
            self._unwritten.update(changed)
            if now >= self._write_at:
                self._write(now)
        if any(measurement not in self.found_measurements for measurement in changed):
            values = self.readings.values
            self.found_measurements.add(
                measurement for measurement in values if is_shown(measurement, values)
            )
        if self.readings.scale_was_compared:
            self._report_scale()
        self._log_return(now)
        self._memory.save_within(_REMEMBER_WITHIN)

    @callback
    def _report_scale(self) -> None:
        """Tell the user when power and register do not fit."""
        for (_, register), check in self.readings.scale_checks.items():
            issue = _SCALE_ISSUES[register]
            if check.error is None:
                self._issues.close(issue)
            else:
                self._issues.raise_issue(
                    issue,
                    by_power=f"{check.error.by_power / 1000:.3f}",
                    by_register=f"{check.error.by_register / 1000:.3f}",
                )

    @callback
    def _write(self, now: float) -> None:
        """Let the entities write what has changed since the last time."""
        unwritten, self._unwritten = self._unwritten, {}
        self._write_at = now + self._write_interval
        self._notify(unwritten)

    @callback
    def _write_before_the_hour_ends(self, _now: datetime) -> None:
        self._write(clock.now())
        # The first reading of the new hour is written at once.
        self._write_at = 0.0

    @callback
    def _notify(self, contexts: Iterable[Hashable]) -> None:
        for context in contexts:
            for listener in self._listeners.get(context, ()):
                try:
                    listener()
                except Exception:
                    # One entity's fault must not take the others with it, nor the stream.
                    _LOGGER.exception("Unexpected error while updating an entity")

    # ------------------------------------------------------------------------------------ availability

    @callback
    def _update_availability(self, _now: datetime | None = None) -> None:
        """Find out what can be believed, tell the entities if that has changed, and look again in time."""
        now = clock.now()
        before = (self.is_connected, self.has_fresh_readings)
        remaining = [freshness.remaining(now) for freshness in (self._signs_of_life, self.readings.freshness)]
        self.is_connected, self.has_fresh_readings = (seconds > 0 for seconds in remaining)
        if (self.is_connected, self.has_fresh_readings) != before:
            self._log_availability(was_fresh=before[1])
            self._unwritten.clear()
            self._notify(list(self._listeners))
        self._stop_watching()
        if next_expiry := min((seconds for seconds in remaining if seconds > 0), default=None):
            self._cancel_expiry = async_call_later(self._hass, next_expiry, self._expiry_job)

    @callback
    def _log_availability(self, *, was_fresh: bool) -> None:
        """Say once when the readings are lost, and once when they are back."""
        if self.has_fresh_readings:
            self._fresh_since = clock.now()
        elif was_fresh and not self._readings_were_lost:
            self._readings_were_lost = True
            reason = "its meter is silent" if self.is_connected else self._last_error or "it is silent"
            _LOGGER.info("The %s sends no readings any more: %s", self.reader.model, reason)

    @callback
    def _log_return(self, now: float) -> None:
        """Say that the readings are back, when they have stayed: a stream that comes and goes is no news."""
        if self._readings_were_lost and now >= self._fresh_since + _BACK_AFTER:
            self._readings_were_lost = False
            _LOGGER.info("The %s sends readings again", self.reader.model)

    @callback
    def _stop_watching(self) -> None:
        if self._cancel_expiry is not None:
            self._cancel_expiry()
            self._cancel_expiry = None

    # ----------------------------------------------------------------------------------------- memory

    @callback
    def _what_to_remember(self) -> Mapping[str, Any]:
        return {
            "registers": self.readings.guard.registers,
            "registers_at": dt_util.utcnow().timestamp(),
            "appliances": self.appliances.memory,
        }

    @callback
    def _recall(self, memory: Mapping[str, Any] | None) -> None:
        if memory is None:
            return
        known = set(Measurement)
        registers = {Measurement(key): value for key, value in memory["registers"].items() if key in known}
        absence = dt_util.utcnow().timestamp() - memory["registers_at"]
        self.readings.guard.remember(registers, clock.now() - absence)
        self.appliances.recall(memory["appliances"])
