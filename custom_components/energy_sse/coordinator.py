"""Coordinator of one reader: receives its messages, keeps its data, and updates the entities."""

import asyncio
from collections.abc import Callable, Container, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_USER, ConfigEntry
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.event import async_track_utc_time_change
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from .appliances import Appliance, Appliances
from .availability import Availability
from .const import (
    CONF_AUTH_SCHEME,
    CONF_ENTERED_HOST,
    CONF_KIND,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    DOMAIN,
    LOGGER,
)
from .descriptions import is_supported
from .devices import Devices
from .histories import RegisterHistories, RegisterUpdate
from .issues import Issue, Issues, escape_markdown, translate_error
from .reader import (
    AuthScheme,
    ConnectionState,
    Detection,
    HourlyRegister,
    Inventory,
    Measurement,
    Message,
    Property,
    ReaderAuthenticationError,
    ReaderConnection,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderMismatchError,
    ReaderStatus,
    Reading,
    Reason,
    SubMeterReading,
    Transition,
    clock,
    make_reader,
)
from .readings import Readings
from .store import EnergySseStore
from .sub_meters import SubMeters
from .supply import get_supply
from .validated_reading import ValidatedReading

if TYPE_CHECKING:
    # At runtime, `data.py` imports this module.
    from .data import EnergySseConfigEntry

# Seconds. Longer than all timeouts of the first attempt, so that the attempt returns its own error.
_FIRST_ATTEMPT_TIMEOUT: Final = 60

# Seconds until stored data is saved. Each save writes the whole file, which wears out memory cards. So
# readings without a new boundary are saved every quarter of an hour, and when Home Assistant stops.
_SAVE_BOUNDARIES_WITHIN: Final = 60
_SAVE_WITHIN: Final = 900

# Minutes. The values at the end of each quarter-hour and hour are written before it ends, because the
# recorder and power tariffs count these intervals.
_QUARTER_ENDS: Final = [14, 29, 44, 59]

_WRONG_DEVICE: Final = (Issue.WRONG_DEVICE, Issue.PROTECTED_DEVICE)

# A context is what an entity listens to; it is not Home Assistant's `Context` of a user. These are the
# contexts besides measurements, properties, appliances, sub-meters and values of power tariffs.
CONNECTION: Final = "connection"
NEW_ENTITIES: Final = "new entities"


@dataclass(slots=True, kw_only=True)
class ReaderData:
    """Data of one reader. The coordinator changes it in place."""

    values: dict[Measurement, float]
    """Last valid values, in the units of the reader.

    This is the same object as `Readings.values`, which removes expired values.
    """

    measurements: set[Measurement]
    """Measurements that have entities."""

    properties: set[Property]
    """Properties that have entities."""

    sub_meters: SubMeters
    appliances: Appliances
    status: Mapping[Property, str | float | bool | datetime] = field(default_factory=dict)
    firmware: str | None = None
    is_streaming: bool = False
    """True while there is a stream."""


class EnergySseCoordinator(DataUpdateCoordinator[ReaderData]):
    """Coordinator that receives the messages of one reader, and updates the entities.

    `handle_message` is called for each message. The context of an entity is the measurement, property,
    appliance or value that it shows, or the identifier of its sub-meter. An update concerns some contexts.
    All entities are updated when the availability changes.
    """

    config_entry: EnergySseConfigEntry

    def __init__(self, hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
        """Create the coordinator without connecting."""
        super().__init__(hass, LOGGER, config_entry=entry, name=entry.title)
        assert entry.unique_id is not None
        self.reader = make_reader(
            entry.data[CONF_KIND],
            async_get_clientsession(hass),
            entry.data[CONF_HOST],
            entry.data.get(CONF_PASSWORD),
            AuthScheme(entry.data[CONF_AUTH_SCHEME]) if CONF_AUTH_SCHEME in entry.data else None,
        )
        self.devices = Devices(hass, entry)
        self.store = EnergySseStore(hass, entry.entry_id)
        self.readings = Readings(self.reader.units, self.reader.freshness, get_supply(entry.options))
        self.histories = RegisterHistories(self.reader.units)
        self.data = ReaderData(
            values=self.readings.values,
            measurements=self.devices.measurements(),
            properties=self.devices.properties(),
            sub_meters=SubMeters(self.devices.sub_meters(), entry.options.get(CONF_SUB_METERS, {})),
            appliances=Appliances(self.devices.appliances()),
        )
        self.availability = Availability(
            hass,
            entry.title,
            self.readings.freshness,
            self._handle_availability_change,
            self._expire_values,
        )
        self._connection = ReaderConnection(
            self.reader, entry.unique_id, self, entered_host=get_entered_host(entry)
        )
        self._issues = Issues(hass, entry)
        self._first_attempt: asyncio.Future[None] = hass.loop.create_future()
        """Result of the first attempt to connect, for which the setup waits."""

        self._reading_listeners: list[Callable[[RegisterUpdate], None]] = []
        self._pending: set[Hashable] = set()
        """Contexts that have changed since the last write."""

        interval = float(entry.options.get(CONF_WRITE_INTERVAL, 0))
        self._debouncer = (
            Debouncer(hass, LOGGER, cooldown=interval, immediate=True, function=self._async_write_states)
            if interval
            else None
        )

    # ---------------------------------------------------------------------------------- setup

    @override
    async def _async_setup(self) -> None:
        """Connect, and wait until the reader has identified itself."""
        self.config_entry.async_on_unload(self.availability.stop)
        if self._debouncer is not None:
            self.config_entry.async_on_unload(
                async_track_utc_time_change(
                    self.hass, self._handle_quarter_end, minute=_QUARTER_ENDS, second=59
                )
            )
        self.config_entry.async_create_background_task(self.hass, self._async_run(), f"{DOMAIN} stream")
        try:
            async with asyncio.timeout(_FIRST_ATTEMPT_TIMEOUT):
                await self._first_attempt
        except ReaderAuthenticationError as error:
            raise ConfigEntryAuthFailed(**translate_error(error)) from error
        except ReaderError as error:
            raise ConfigEntryNotReady(**translate_error(error)) from error
        except TimeoutError as error:
            raise ConfigEntryNotReady(**translate_error(ReaderError(Reason.NOT_IDENTIFIED))) from error

    async def async_restore(self) -> None:
        """Restore the stored data."""
        await self.store.async_load()
        self.config_entry.async_on_unload(self.store.async_close)
        for name, collect, restore in (
            ("meter", lambda: self.readings.as_dict(clock.now()), self._restore_readings),
            ("registers", self._registers_as_dict, self._restore_registers),
            ("appliances", self.data.appliances.as_dict, self.data.appliances.restore),
            ("sub_meters", lambda: self.data.sub_meters.as_dict(clock.now()), self._restore_sub_meters),
        ):
            self.store.async_add_section(name, collect, restore)

    @override
    async def _async_update_data(self) -> ReaderData:
        """Return the data, which the reader pushes.

        Home Assistant calls this at the end of the setup, and for the action `homeassistant.update_entity`.
        Raises UpdateFailed while the reader is offline.
        """
        if not self.availability.is_online:
            raise UpdateFailed("the reader is offline")
        return self.data

    async def _async_run(self) -> None:
        """Keep the connection until the task is cancelled, or the device rejects the credentials."""
        try:
            await self._connection.run()
        except asyncio.CancelledError:
            if not self._first_attempt.done():
                # Home Assistant is stopping, and must not wait for the setup.
                self._first_attempt.set_exception(
                    ReaderConnectionError(Reason.NOT_IDENTIFIED, "Home Assistant is stopping")
                )
            raise
        except ReaderAuthenticationError as error:
            is_set_up = self._first_attempt.done()
            self.handle_disconnect(error)
            # An open dialog about another address would prevent a dialog about this address.
            self._abort_reauth()
            if is_set_up:
                self.config_entry.async_start_reauth(self.hass)

    # -------------------------------------------------------------------- entities and updates

    @callback
    def async_update_context_listeners(self, contexts: Container[Hashable]) -> None:
        """Update the entities of some contexts.

        As in the base class, an error in one entity does not affect the others.
        """
        for update, context in list(self._listeners.values()):
            if context in contexts:
                try:
                    update()
                except Exception:
                    LOGGER.exception("Unexpected error while updating an entity of %s", self.name)

    @callback
    def async_add_reading_listener(self, listener: Callable[[RegisterUpdate], None]) -> CALLBACK_TYPE:
        """Call a function for each valid reading. Return the function that removes it."""
        self._reading_listeners.append(listener)
        return lambda: self._reading_listeners.remove(listener)

    @callback
    def async_flush(self) -> None:
        """Write all pending changes, and each later change at once."""
        if self._debouncer is not None:
            self._debouncer.async_shutdown()
            self._debouncer = None
        self._async_write_states()

    @callback
    def _handle_quarter_end(self, _now: datetime) -> None:
        # The first reading of the next quarter-hour is written at once, too.
        if self._debouncer is not None:
            self._debouncer.async_cancel()
        self._async_write_states()

    @callback
    def _async_write_states(self) -> None:
        """Update the entities of the pending changes."""
        if self._pending:
            contexts, self._pending = self._pending, set()
            self.async_update_context_listeners(contexts)

    @callback
    def _handle_availability_change(self) -> None:
        self.last_update_success = self.availability.is_online
        self._pending = set()
        if self._debouncer is not None:
            self._debouncer.async_cancel()
        self.async_update_listeners()

    @callback
    def _expire_values(self, now: float) -> float:
        """Remove outdated values. Return the seconds until the next value is outdated."""
        sub_meters = self.data.sub_meters
        outdated: set[Hashable] = {
            *self.readings.remove_outdated(now),
            *map(self.devices.sub_meter_identifier, sub_meters.update_outdated(now)),
        }
        if self.availability.has_fresh_readings:
            # Otherwise, all values are unavailable already, or will be at once.
            self.async_update_context_listeners(outdated)
        return min(self.readings.next_expiry(now), sub_meters.next_expiry(now))

    @callback
    def async_remove_device(self, device: DeviceEntry) -> bool:
        """Remove an appliance or a sub-meter. Return False if the reader still reports it."""
        is_removed = False
        for appliance in self.data.appliances:
            if self.devices.appliance_identifier(appliance.id) in device.identifiers:
                self.devices.async_clear_appliance(appliance.id)
                is_removed = self.data.appliances.remove(appliance)
        for meter_id in list(self.data.sub_meters.known):
            if self.devices.sub_meter_identifier(meter_id) in device.identifiers:
                is_removed = self.data.sub_meters.remove(meter_id)
        if is_removed:
            self._async_notify_new_entities()
        return is_removed

    @callback
    def _async_notify_new_entities(self) -> None:
        """Notify the platforms, which add missing entities and remove obsolete ones from their lists."""
        self.async_update_context_listeners((NEW_ENTITIES,))

    # ------------------------------------------------------------------------------ connection

    @property
    def connection_state(self) -> ConnectionState:
        """State of the connection."""
        return self._connection.state

    @callback
    def async_handle_announcement(self, *hosts: str) -> None:
        """Use the addresses of an announcement of the reader."""
        self._connection.handle_announcement(*hosts)

    @callback
    def handle_message(self, message: Message) -> None:
        """Process a message of the reader."""
        self.availability.record_activity()
        match message:
            case Reading():
                self._handle_reading(message)
            case HourlyRegister():
                self.histories.add_hourly(message)
            case SubMeterReading():
                self._handle_sub_meter(message)
            case Transition() | Detection():
                self._handle_report(message)
            case Inventory():
                appliances = self.data.appliances.update_from_inventory(message)
                # All devices first, because entities of all appliances are added with the first one. Entities
                # without a device would be named after the reader.
                for appliance in appliances:
                    self.devices.async_update_appliance(appliance)
                self.async_update_context_listeners([*appliances, NEW_ENTITIES])
            case ReaderStatus():
                self._handle_status(message)
            case ReaderInfo():
                self._handle_info(message)

    @callback
    def _handle_info(self, info: ReaderInfo) -> None:
        self.availability.last_error = None
        self._issues.async_delete(*_WRONG_DEVICE)
        self.data.firmware = info.firmware
        self.readings.update_reader_clock(info.clock)
        if self.reader.auth_scheme is not None:
            self._update_entry({CONF_AUTH_SCHEME: self.reader.auth_scheme})
        self.devices.async_update_reader(self.reader, info)
        for meter_id in self.data.sub_meters.known:
            self.devices.async_update_sub_meter(meter_id, self.data.sub_meters.kind(meter_id))
        self._set_streaming(is_streaming=True)
        # The reader is back, so a dialog about another address is obsolete.
        self._abort_reauth()
        if not self._first_attempt.done():
            self._first_attempt.set_result(None)

    @callback
    def handle_disconnect(self, error: ReaderError) -> None:
        """Handle a stream that has ended, or an attempt that has failed."""
        self.availability.last_error = error
        if isinstance(error, ReaderMismatchError):
            self._issues.async_delete(*_WRONG_DEVICE)
            self._issues.async_create(
                Issue.WRONG_DEVICE if error.found else Issue.PROTECTED_DEVICE,
                {
                    "reader": escape_markdown(self.reader.full_name(self.config_entry.title)),
                    "found": escape_markdown(error.found or ""),
                },
            )
        LOGGER.debug("The stream ended: %s", error)
        self._set_streaming(is_streaming=False)
        if not self._first_attempt.done():
            self._first_attempt.set_exception(error)

    @callback
    def handle_contention(self, *, is_contended: bool) -> None:
        """Create an issue while another client takes the stream."""
        if is_contended:
            self._issues.async_create(Issue.STREAM_CONTENDED)
        else:
            self._issues.async_delete(Issue.STREAM_CONTENDED)

    @callback
    def handle_move(self, host: str) -> None:
        """Store the address where the reader has identified itself."""
        LOGGER.info("%s has moved to another address", self.name)
        self._update_entry(get_moved_data(self.config_entry, host))

    @callback
    def handle_basic_auth_request(self, host: str) -> None:
        """Ask the user whether the password may be sent unencrypted to an announced address."""
        self.config_entry.async_start_reauth(self.hass, data={CONF_HOST: host})

    @callback
    def _abort_reauth(self) -> None:
        for flow in list(self.config_entry.async_get_active_flows(self.hass, {SOURCE_REAUTH})):
            self.hass.config_entries.flow.async_abort(flow["flow_id"])

    @callback
    def _update_entry(self, data: Mapping[str, str]) -> None:
        self.hass.config_entries.async_update_entry(
            self.config_entry, data={**self.config_entry.data, **data}
        )

    @callback
    def _set_streaming(self, *, is_streaming: bool) -> None:
        if self.data.is_streaming != is_streaming:
            self.data.is_streaming = is_streaming
            self.async_update_context_listeners((CONNECTION,))

    # ------------------------------------------------------- status, sub-meters and appliances

    @callback
    def _handle_status(self, status: ReaderStatus) -> None:
        before, after = self.data.status, status.values
        self.data.status = after
        if after.get(Property.METER_STATUS) in self.reader.key_missing_statuses:
            self._issues.async_create(Issue.METER_KEY_REQUIRED)
        else:
            self._issues.async_delete(Issue.METER_KEY_REQUIRED)
        self.async_update_context_listeners(
            {key for key in {*before, *after} if before.get(key) != after.get(key)}
        )
        if not after.keys() <= self.data.properties:
            self.data.properties.update(after)
            self._async_notify_new_entities()

    @callback
    def _handle_sub_meter(self, reading: SubMeterReading) -> None:
        sub_meters, meter_id = self.data.sub_meters, reading.meter_id
        if not sub_meters.update(reading, clock.now()):
            return
        if meter_id in sub_meters.known:
            self.async_update_context_listeners((self.devices.sub_meter_identifier(meter_id),))
        else:
            self.devices.async_update_sub_meter(meter_id, sub_meters.kind(meter_id))
            sub_meters.known[meter_id] = None
            self._async_notify_new_entities()

    @callback
    def _handle_report(self, report: Transition | Detection) -> None:
        processed = self.data.appliances.process_report(report, dt_util.utcnow())
        if processed is not None:
            appliance, has_event = processed
            self._update_appliance(appliance)
            # An event that has fired must not fire again after a power failure.
            self.store.async_save_within(0 if has_event else _SAVE_WITHIN)

    @callback
    def _update_appliance(self, appliance: Appliance) -> None:
        self.devices.async_update_appliance(appliance)
        self.async_update_context_listeners((appliance, NEW_ENTITIES))

    # -------------------------------------------------------------------------------- readings

    @callback
    def _handle_reading(self, reading: Reading) -> None:
        validated = self.readings.update(reading, clock.now())
        if validated is None:
            return
        self._update_histories(validated)
        if not validated.changed:
            return
        # Before `availability.update()`, which removes the values of an old reading; their entities would not
        # be added.
        self._add_measurements(validated)
        self._pending.update(validated.changed)
        if not self.availability.has_fresh_readings:
            self.availability.update()
        elif self._debouncer is None:
            self._async_write_states()
        else:
            self._debouncer.async_schedule_call()
        self.availability.log_recovery()

    @callback
    def _update_histories(self, validated: ValidatedReading) -> None:
        """Update the register histories, and call the listeners.

        An error in one listener does not affect the others.
        """
        try:
            update = self.histories.update(validated)
        except Exception:
            LOGGER.exception("Unexpected error while updating the register histories")
            return
        self.store.async_save_within(_SAVE_BOUNDARIES_WITHIN if update.boundaries_changed else _SAVE_WITHIN)
        for listener in self._reading_listeners:
            try:
                listener(update)
            except Exception:
                LOGGER.exception("Unexpected error while processing a reading")
        if self.reader.stores_hours:
            self._update_clock_issue()

    @callback
    def _add_measurements(self, validated: ValidatedReading) -> None:
        """Add the measurements that the meter has sent for the first time."""
        if validated.changed.keys() <= self.data.measurements:
            return
        values = self.data.values
        new = {each for each in values.keys() - self.data.measurements if is_supported(each, values)}
        if new:
            self.data.measurements |= new
            self._async_notify_new_entities()

    @callback
    def _update_clock_issue(self) -> None:
        """Create an issue while the reader's clock is wrong and its stored hours are not used."""
        error = self.readings.wall_clock.reader_error
        if error is not None and self.readings.check_reader_clock(clock.now()):
            if self._issues.async_exists(Issue.READER_CLOCK_WRONG):
                return
            # Days are shown as hours, because the word "days" would have to be translated.
            minutes, seconds = divmod(round(abs(error)), 60)
            difference = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
            self._issues.async_create(Issue.READER_CLOCK_WRONG, {"difference": difference})
        elif self.readings.has_right_clock:
            self._issues.async_delete(Issue.READER_CLOCK_WRONG)

    # --------------------------------------------------------------------------------- storage

    @callback
    def _restore_readings(self, data: Mapping[str, Any]) -> None:
        self.readings.restore(data, clock.now())

    @callback
    def _restore_sub_meters(self, data: Mapping[str, Any]) -> None:
        self.data.sub_meters.restore(data, clock.now())

    @callback
    def _registers_as_dict(self) -> Mapping[str, Any]:
        return {"clock": self.readings.wall_clock.as_dict(), **self.histories.as_dict()}

    @callback
    def _restore_registers(self, data: Mapping[str, Any]) -> None:
        # The fields are replaced only if all of them are valid, because totals without their clock or without
        # their meter replacements would be wrong.
        histories = RegisterHistories(self.reader.units)
        histories.restore(data)
        self.readings.wall_clock.restore(data["clock"])
        self.histories = histories


def get_entered_host(entry: ConfigEntry) -> str | None:
    """Return the address that the user entered; None for a reader that was only discovered."""
    entered: str | None = entry.data.get(CONF_ENTERED_HOST)
    return entry.data[CONF_HOST] if entered is None and entry.source == SOURCE_USER else entered


def get_moved_data(entry: ConfigEntry, host: str) -> dict[str, str]:
    """Return the entry data to update when a reader has moved. An address that the user entered is kept."""
    entered = get_entered_host(entry)
    return {CONF_HOST: host} | ({} if entered is None else {CONF_ENTERED_HOST: entered})
