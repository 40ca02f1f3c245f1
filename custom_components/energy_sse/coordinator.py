"""Owns the connection to one reader, keeps what it says, and tells the entities."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
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

from .appliances import Appliance, ApplianceEvent
from .const import CONF_COUNTERS, CONF_KIND, CONF_WRITE_INTERVAL, DOMAIN, CounterKind
from .findings import Findings
from .presence import is_shown
from .reader import (
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
    ReaderStatus,
    Reading,
    Transition,
    clock,
    make_reader,
)
from .registry import Registry

_LOGGER = logging.getLogger(__name__)

type EnergySseConfigEntry = ConfigEntry[EnergySseCoordinator]

# Seconds. Longer than every timeout of a first attempt, so that the attempt itself says what went wrong.
_FIRST_CONTACT_TIMEOUT: Final = 60

# Seconds. An unchanged value is written again before its `last_reported` gets older than this: automations
# and helpers tell a steady value from a silent sensor by it.
_REPORT_WITHIN: Final = 60

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
        self.values: dict[Measurement, float] = {}
        self.status: Mapping[Property, str | float | bool | datetime] = {}
        self.counters: dict[str, CounterReading] = {}
        self.appliances = {appliance.id: appliance for appliance in self.registry.appliances()}

        self.found_measurements = Findings(self.registry.measurements())
        self.found_properties = Findings(self.registry.properties())
        self.found_counters = Findings(self.registry.counters())
        self.found_appliances = Findings(self.appliances.values())
        self.found_multi_state_appliances = Findings[Appliance]()

        self.link_is_up = False
        """Whether there is a stream at this moment."""

        self.is_connected = False
        """Whether the device has shown signs of life lately. A short drop of the link changes nothing."""

        self.has_fresh_readings = False
        """Whether the meter has been heard lately, and the values can be believed."""

        self.freshness = Freshness()
        """Of the readings."""

        self._hass = hass
        self._entry = entry
        self._connection = ReaderConnection(self.reader, entry.unique_id, self)
        self._first_contact: asyncio.Future[None] = hass.loop.create_future()
        self._inventory: frozenset[str] | None = None
        self._last_error: ReaderError | None = None
        self._readings_were_lost = False
        self._signs_of_life = Freshness()
        self._expiry_job = HassJob(self._update_availability, cancel_on_shutdown=True)
        self._cancel_expiry: CALLBACK_TYPE | None = None
        self._write_interval = float(entry.options.get(CONF_WRITE_INTERVAL, 0))
        self._write_at = 0.0
        self._unwritten: set[Measurement] = set()
        self._reported_at: dict[Measurement, float] = {}
        self._listeners: defaultdict[Any, list[CALLBACK_TYPE]] = defaultdict(list)

    async def async_start(self) -> None:
        """Connect, and return when the device has said who it is.

        Raises ConfigEntryNotReady or ConfigEntryAuthFailed.
        """
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
    def async_seen_at(self, host: str) -> None:
        """Take notice of an announcement of the reader, at its address or at another one."""
        self._connection.seen_at(host)

    def counter_kind(self, meter_id: str) -> CounterKind:
        """Return what a counter counts, by what its owner has chosen."""
        return CounterKind(self._entry.options.get(CONF_COUNTERS, {}).get(meter_id, CounterKind.NONE))

    @callback
    def async_forget(self, device: DeviceEntry) -> bool:
        """Forget a device below the reader. Returns False for one that is still there.

        It is new, should it ever speak again.
        """
        for appliance in list(self.appliances.values()):
            if self.registry.appliance(appliance.id) in device.identifiers:
                if appliance.has_spoken or appliance.id in (self._inventory or ()):
                    return False
                del self.appliances[appliance.id]
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

    @callback
    def _handle_info(self, info: ReaderInfo) -> None:
        self._last_error = None
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
        """Tell the user that another client takes the stream."""

    @callback
    def connection_lost(self, error: ReaderError) -> None:
        """Take notice that the stream ended, or could not be had."""
        self._last_error = error
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
        self._notify(changed)
        self.found_properties.add(status.values)

    @callback
    def _handle_counter(self, counter: CounterReading) -> None:
        known = self.counters.get(counter.meter_id)
        if counter.value is None and known is not None:
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
        self._inventory = frozenset(profile.id for profile in inventory.appliances)
        for profile in inventory.appliances:
            appliance = self._know_appliance(profile.id)
            appliance.learn(profile)
            self._handle_appliance(appliance, None)

    @callback
    def _handle_report(self, report: Transition | Detection) -> None:
        is_gone = self._inventory is not None and report.appliance_id not in self._inventory
        if report.replayed and is_gone:
            # The device repeats a report on an appliance that its owner has deleted there.
            return
        appliance = self._know_appliance(report.appliance_id)
        if isinstance(report, Transition):
            self._handle_appliance(appliance, appliance.apply(report))
        else:
            self._handle_appliance(appliance, appliance.detect(report))

    @callback
    def _know_appliance(self, appliance_id: str) -> Appliance:
        appliance = self.appliances.get(appliance_id)
        if appliance is None:
            # Until its name is known, its id has to do, which was made from the name.
            name = appliance_id.replace("_", " ").capitalize()
            appliance = self.appliances[appliance_id] = Appliance(appliance_id, name)
        return appliance

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
        true_at = clock.now() - reading.age
        if reading.age and self.freshness.last is not None and true_at <= self.freshness.last:
            # Repeated after a reconnect, and older than what is known.
            return
        self.freshness.heard(true_at)
        values = {**reading.values, **_clock_drifts(reading)}
        report_before = true_at - _REPORT_WITHIN + (self.freshness.interval or 0)
        changed = [
            measurement
            for measurement, value in values.items()
            if self.values.get(measurement) != value or self._reported_at[measurement] <= report_before
        ]
        for measurement in changed:
            self.values[measurement] = values[measurement]
            self._reported_at[measurement] = true_at
        if not self.has_fresh_readings:
            self._update_availability()
        else:
            self._unwritten.update(changed)
            if true_at >= self._write_at:
                self._write(true_at)
        self.found_measurements.add(
            m for m in values if m not in self.found_measurements and is_shown(m, values)
        )

    @callback
    def _write(self, now: float) -> None:
        """Let the entities write what has changed since the last time."""
        unwritten, self._unwritten = self._unwritten, set()
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
        remaining = [freshness.remaining(now) for freshness in (self._signs_of_life, self.freshness)]
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
        model = self.reader.model
        if self.has_fresh_readings and self._readings_were_lost:
            self._readings_were_lost = False
            _LOGGER.info("The %s sends readings again", model)
        elif was_fresh and not self.has_fresh_readings:
            self._readings_were_lost = True
            reason = "its meter is silent" if self.is_connected else self._last_error or "it is silent"
            _LOGGER.info("The %s sends no readings any more: %s", model, reason)

    @callback
    def _stop_watching(self) -> None:
        if self._cancel_expiry is not None:
            self._cancel_expiry()
            self._cancel_expiry = None


def _clock_drifts(reading: Reading) -> dict[Measurement, float]:
    """Return by how many seconds the device's clocks are ahead, in the resolution that they have."""
    if reading.age:
        return {}
    drifts: dict[Measurement, float] = {}
    for measurement, time in (
        (Measurement.READER_CLOCK_DRIFT, reading.reader_time),
        (Measurement.METER_CLOCK_DRIFT, reading.meter_time),
    ):
        if time is not None:
            now = dt_util.now() if time.tzinfo is None else dt_util.utcnow()
            drift = time - (now.replace(tzinfo=None) if time.tzinfo is None else now)
            drifts[measurement] = round(drift.total_seconds())
    return drifts
