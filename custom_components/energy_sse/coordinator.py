"""Owns the connection to one reader, keeps what it says, and tells the entities."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
import logging
from typing import Any, Final, override

from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_USER, ConfigEntry
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.event import async_track_utc_time_change
from homeassistant.helpers.update_coordinator import BaseDataUpdateCoordinatorProtocol
from homeassistant.util import dt as dt_util

from .appliances import Appliance, Appliances
from .availability import Availability
from .const import (
    CONF_ENTERED_HOST,
    CONF_KIND,
    CONF_LOGIN,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)
from .findings import Findings
from .household import has_measurement
from .issues import Issue, Issues
from .listeners import Listeners
from .markdown import escape
from .memory import Memory
from .reader import (
    AuthScheme,
    ConnectionState,
    Detection,
    ErrorGuard,
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
    ReaderKind,
    ReaderMismatchError,
    ReaderStatus,
    Reading,
    SubMeterReading,
    Transition,
    clock,
    full_name,
    make_reader,
)
from .readings import Readings, Validated
from .registers import RegisterHistory
from .registry import Registry
from .sub_meters import SubMeters
from .tariff_registers import TariffRegisters

_LOGGER = logging.getLogger(__name__)

type EnergySseConfigEntry = ConfigEntry[EnergySseCoordinator]

# Seconds. Longer than every timeout of a first attempt, so that the attempt itself says what went wrong.
_FIRST_CONTACT_TIMEOUT: Final = 60

# Seconds. What the registers were is remembered no more exactly, so that a memory card lives.
_REMEMBER_WITHIN: Final = 300

# What the meter status is when the reader cannot read what the meter sends.
_KEY_IS_MISSING: Final = ("KEY REQUIRED", "ENCRYPTION KEY")

# Seconds. A new boundary is saved soon. The rest is saved later, and when Home Assistant stops.
_SAVE_BOUNDARIES_WITHIN: Final = 60
_SAVE_REGISTERS_WITHIN: Final = 1800

# Registers with a history, the power that each counts, and how long their boundaries are kept. A power tariff
# bills the import of this month and the one before.
_HISTORIES: Final = {
    Measurement.ACTIVE_ENERGY_IMPORT: (Measurement.ACTIVE_POWER_IMPORT, timedelta(days=66)),
    Measurement.ACTIVE_ENERGY_EXPORT: (Measurement.ACTIVE_POWER_EXPORT, timedelta(days=4)),
}

# Another device answers, whether or not it has said which.
_WRONG_DEVICE: Final = (Issue.WRONG_DEVICE, Issue.PROTECTED_DEVICE)

# What a listener is about, when it is about neither a measurement nor a property nor a device.
CONNECTION: Final = object()

# Context of listeners to the register histories: boundaries have changed.
REGISTERS: Final = object()

# Context of listeners that hold changes back: write them now.
FLUSH: Final = object()


class EnergySseCoordinator(BaseDataUpdateCoordinatorProtocol):
    """The state of one reader.

    A listener's context says what it is about: a measurement, a property, an appliance, the identifier of a
    sub-meter's device, or the connection. It is called when there is something new about it, or when its
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
            AuthScheme(entry.data[CONF_LOGIN]) if CONF_LOGIN in entry.data else None,
        )
        self.registry = Registry(hass, entry)
        self.errors = ErrorGuard(_LOGGER)
        """Of everything that is done for this reader in Home Assistant."""

        self.firmware: str | None = None
        self.readings = Readings(self.reader.units, self.reader.freshness)
        self.registers = {register: RegisterHistory() for register in _HISTORIES}
        self._tariff_registers = TariffRegisters()
        self.status: Mapping[Property, str | float | bool | datetime] = {}
        self.sub_meters = SubMeters(self.registry.sub_meters(), entry.options.get(CONF_SUB_METERS, {}))
        self.appliances = Appliances(self.registry.appliances())

        self.found_measurements = Findings(self.registry.measurements())
        self.found_properties = Findings(self.registry.properties())
        self.found_appliances = Findings(self.appliances)
        self.found_multi_state_appliances = Findings(
            appliance for appliance in self.appliances if self.registry.has_state_sensor(appliance.id)
        )

        self.is_streaming = False
        """Whether there is a stream at this moment."""

        self.availability = Availability(
            hass,
            self.reader.model,
            self.readings.freshness,
            expires=self._flush,
            changed=self._handle_availability,
            errors=self.errors,
        )

        self._hass = hass
        self._entry = entry
        self._connection = ReaderConnection(
            self.reader, entry.unique_id, self, entered_host=entered_host_of(entry)
        )
        self._first_contact: asyncio.Future[None] = hass.loop.create_future()
        self._issues = Issues(hass, entry)
        self._memory = Memory(hass, entry.entry_id, self._what_to_remember)
        self._register_store = Memory(hass, registers_key(entry.entry_id), self._register_data)
        self._last_hourly: HourlyRegister | None = None
        self._write_interval = float(entry.options.get(CONF_WRITE_INTERVAL, 0))
        self._listeners = Listeners(hass, self._write_interval, self.errors)
        self._message_listeners: list[Callable[[Message], None]] = []

    async def async_restore(self) -> None:
        """Restore what is stored from before a restart."""
        await self._memory.async_recall(self._recall)
        await self._register_store.async_recall(self._restore_registers)

    async def async_start(self) -> None:
        """Connect, and return when the device has said who it is. The coordinator has been restored.

        Raises ConfigEntryNotReady or ConfigEntryAuthFailed.
        """
        self._entry.async_on_unload(self._memory.async_close)
        self._entry.async_on_unload(self._register_store.async_close)
        self._entry.async_on_unload(self.availability.stop)
        self._entry.async_on_unload(self.async_close)
        # Before the stop event, because Home Assistant stores the states of other integrations then.
        self._entry.async_on_unload(self._hass.async_add_shutdown_job(HassJob(self.async_close)))
        if self._write_interval:
            # Quarters of an hour are billed too.
            ends = [14, 29, 44, 59]
            self._entry.async_on_unload(
                async_track_utc_time_change(self._hass, self._listeners.end_hour, minute=ends, second=59)
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
        return self._listeners.add(update_callback, context)

    @callback
    def async_listen(self, listener: Callable[[Message], None]) -> CALLBACK_TYPE:
        """Listen to everything that the reader says. Returns the function that ends it."""
        self._message_listeners.append(listener)
        return lambda: self._message_listeners.remove(listener)

    @callback
    def async_handle_announcement(self, *hosts: str) -> None:
        """Use an announcement of the reader, at its address or at others."""
        self._connection.handle_announcement(*hosts)

    @callback
    def async_close(self) -> None:
        """Write all that is held back, and hold nothing back from now on."""
        self._listeners.close()
        self._listeners.tell([FLUSH])

    @property
    def import_history(self) -> RegisterHistory:
        """History of the import register, or of the sum of the tariffs where the meter has only these."""
        tariffs = self._tariff_registers.history
        return tariffs if tariffs.has_register else self.registers[Measurement.ACTIVE_ENERGY_IMPORT]

    @property
    def connection_state(self) -> ConnectionState:
        """Where the connection is."""
        return self._connection.state

    @callback
    def async_forget(self, device: DeviceEntry) -> bool:
        """Forget a device below the reader. Returns False for one that is still there.

        It is new, should it ever speak again.
        """
        for appliance in self.appliances:
            if self.registry.appliance_identifier(appliance.id) in device.identifiers:
                if not self.appliances.forget(appliance):
                    return False
                self.found_appliances.discard(appliance)
                self.found_multi_state_appliances.discard(appliance)
                return True
        for meter_id in list(self.sub_meters.found):
            if self.registry.sub_meter_identifier(meter_id) in device.identifiers:
                return self.sub_meters.forget(meter_id)
        return False

    # -------------------------------------------------------------------------------- from the reader

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except asyncio.CancelledError:
            if not self._first_contact.done():
                # Home Assistant stops: it should not have to wait for an entry that is being set up.
                self._first_contact.set_exception(ReaderConnectionError("Home Assistant is stopping"))
            raise
        except ReaderAuthenticationError as error:
            is_setting_up = not self._first_contact.done()
            self.handle_disconnect(error)
            # A question about another address would keep this one from being asked.
            self._abort_reauth()
            if not is_setting_up:
                self._entry.async_start_reauth(self._hass)

    @callback
    def handle_message(self, message: Message) -> None:
        """Take in what the reader says."""
        self.availability.note_sign_of_life()
        match message:
            case Reading():
                self._handle_reading(message)
            case HourlyRegister():
                self._handle_hourly(message)
            case SubMeterReading():
                self._handle_sub_meter(message)
            case Transition() | Detection():
                self._handle_report(message)
            case Inventory():
                self._handle_inventory(message)
            case ReaderStatus():
                self._handle_status(message)
            case ReaderInfo():
                self._handle_info(message)
        for listener in self._message_listeners:
            # What it does with it is its own affair.
            with self.errors.guard("taking in what the reader says"):
                listener(message)

    @callback
    def _handle_info(self, info: ReaderInfo) -> None:
        self.availability.last_error = None
        self._issues.close(*_WRONG_DEVICE)
        self.firmware = info.firmware
        self.readings.update_reader_clock(info.clock)
        self._update_entry(**{CONF_LOGIN: self.reader.login} if self.reader.login else {})
        self.registry.register_reader(self.reader, info)
        for meter_id in self.sub_meters.found:
            self.registry.register_sub_meter(meter_id, self.sub_meters.kind(meter_id))
        self._set_streaming(is_streaming=True)
        # The reader is back, so a question about another address is obsolete.
        self._abort_reauth()
        if not self._first_contact.done():
            self._first_contact.set_result(None)

    @callback
    def handle_move(self, host: str) -> None:
        """Remember where the reader has proved to be now."""
        _LOGGER.info("The %s has moved to another address", self.reader.model)
        self._update_entry(**moved_to(self._entry, host))

    @callback
    def handle_basic_request(self, host: str) -> None:
        """Ask the user whether the password may be sent unencrypted to an announced address."""
        self._entry.async_start_reauth(self._hass, data={CONF_HOST: host})

    @callback
    def _abort_reauth(self) -> None:
        for flow in list(self._entry.async_get_active_flows(self._hass, {SOURCE_REAUTH})):
            self._hass.config_entries.flow.async_abort(flow["flow_id"])

    @callback
    def _update_entry(self, **data: str) -> None:
        """Remember what has proved to be so; nothing is written when that is known."""
        self._hass.config_entries.async_update_entry(self._entry, data={**self._entry.data, **data})

    @callback
    def handle_contention(self, *, is_contended: bool) -> None:
        """Tell the user that another client takes the stream, until it does so no more."""
        if is_contended:
            self._issues.raise_issue(Issue.STREAM_CONTENDED)
        else:
            self._issues.close(Issue.STREAM_CONTENDED)

    @callback
    def handle_disconnect(self, error: ReaderError) -> None:
        """Note that the stream has ended, or could not be opened."""
        self.availability.last_error = error
        if isinstance(error, ReaderMismatchError):
            self._issues.close(*_WRONG_DEVICE)
            self._issues.raise_issue(
                Issue.WRONG_DEVICE if error.found else Issue.PROTECTED_DEVICE,
                host=self._entry.data[CONF_HOST],
                reader=escape(full_name(self.reader.kind, self._entry.title)),
                found=escape(error.found or ""),
            )
        _LOGGER.debug("The stream ended: %s", error)
        self._set_streaming(is_streaming=False)
        if not self._first_contact.done():
            self._first_contact.set_exception(error)

    @callback
    def _set_streaming(self, *, is_streaming: bool) -> None:
        if self.is_streaming != is_streaming:
            self.is_streaming = is_streaming
            self._listeners.tell([CONNECTION])

    @callback
    def _flush(self) -> None:
        """Write all that is held back."""
        self._listeners.flush()
        self._listeners.tell([FLUSH])

    @callback
    def _handle_availability(self) -> None:
        self._listeners.tell_all()

    @callback
    def _handle_status(self, status: ReaderStatus) -> None:
        properties = {*self.status, *status.values}
        changed = [p for p in properties if self.status.get(p) != status.values.get(p)]
        self.status = status.values
        if status.values.get(Property.METER_STATUS) in _KEY_IS_MISSING:
            self._issues.raise_issue(Issue.METER_KEY_REQUIRED)
        else:
            self._issues.close(Issue.METER_KEY_REQUIRED)
        self._listeners.tell(changed)
        self.found_properties.add(status.values)

    @callback
    def _handle_sub_meter(self, reading: SubMeterReading) -> None:
        if not self.sub_meters.take(reading, clock.now()):
            return
        meter_id = reading.meter_id
        if meter_id in self.sub_meters.found:
            self._listeners.tell([self.registry.sub_meter_identifier(meter_id)])
        else:
            self.registry.register_sub_meter(meter_id, self.sub_meters.kind(meter_id))
            self.sub_meters.found.add([meter_id])

    # ------------------------------------------------------------------------------------- appliances

    @callback
    def _handle_inventory(self, inventory: Inventory) -> None:
        for appliance in self.appliances.learn(inventory):
            self._handle_appliance(appliance)

    @callback
    def _handle_report(self, report: Transition | Detection) -> None:
        taken = self.appliances.take(report, dt_util.utcnow())
        if taken is not None:
            appliance, is_news = taken
            self._handle_appliance(appliance)
            # What was no news before a restart is none after it either, known or not.
            self._memory.save_within(0 if is_news else _REMEMBER_WITHIN)

    @callback
    def _handle_appliance(self, appliance: Appliance) -> None:
        self.registry.register_appliance(appliance)
        self.found_appliances.add([appliance])
        if appliance.has_many_states:
            self.found_multi_state_appliances.add([appliance])
        self._listeners.tell([appliance])

    # --------------------------------------------------------------------------------------- readings

    @callback
    def _handle_reading(self, reading: Reading) -> None:
        validated = self.readings.update(reading, clock.now())
        if validated is None:
            return
        with self.errors.guard("noting registers"):
            self._update_registers(validated)
        if not validated.changed:
            return
        if self.availability.has_fresh_readings:
            self._listeners.collect(validated.changed)
        else:
            self.availability.update()
        if not self.found_measurements.has_all(validated.changed.keys()):
            values = self.readings.values
            self.found_measurements.add(
                measurement for measurement in values if has_measurement(measurement, values)
            )
        self.availability.log_return()
        self._memory.save_within(_REMEMBER_WITHIN)

    @callback
    def _update_registers(self, validated: Validated) -> None:
        is_changed = False
        for register, (power, _) in _HISTORIES.items():
            sample = self.readings.sample(validated, register, power)
            is_changed |= self.registers[register].update(sample)
        own = self.registers[Measurement.ACTIVE_ENERGY_IMPORT]
        is_changed |= self._tariff_registers.update(validated, self.readings, own)
        self._register_store.save_within(_SAVE_BOUNDARIES_WITHIN if is_changed else _SAVE_REGISTERS_WITHIN)
        if is_changed:
            self._listeners.tell([REGISTERS])
        if self.reader.stores_hours:
            self._check_reader_clock()

    @callback
    def _check_reader_clock(self) -> None:
        """Show an issue while the reader's clock is wrong: the hours that it stores are not used."""
        error = self.readings.wall_clock.reader_error
        if error is not None and self.readings.is_clock_wrong(clock.now()):
            if self._issues.is_raised(Issue.READER_CLOCK_WRONG):
                return
            # Without days, whose word is another one in each language.
            minutes, seconds = divmod(round(abs(error)), 60)
            difference = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
            self._issues.raise_issue(Issue.READER_CLOCK_WRONG, difference=difference)
        elif self.readings.has_right_clock:
            self._issues.close(Issue.READER_CLOCK_WRONG)

    @callback
    def _handle_hourly(self, hourly: HourlyRegister) -> None:
        last, self._last_hourly = self._last_hourly, hourly
        if last is not None and last.hour < hourly.hour and last.values == hourly.values:
            # The reader has repeated a record: no house neither imports nor exports for an hour.
            return
        for register, value in hourly.values.items():
            if register in self.registers:
                self.registers[register].add_hourly(hourly.hour, self.readings.in_wh(register, value))

    # ----------------------------------------------------------------------------------------- memory

    @callback
    def _what_to_remember(self) -> Mapping[str, Any]:
        return {
            **self.readings.memory(clock.now()),
            **self.sub_meters.memory(clock.now()),
            "appliances": self.appliances.memory,
        }

    @callback
    def _recall(self, memory: Mapping[str, Any]) -> None:
        self.readings.recall(memory, clock.now())
        self.appliances.recall(memory["appliances"])
        self.sub_meters.recall(memory, clock.now())

    @callback
    def _register_data(self) -> Mapping[str, Any]:
        for register, (_, keep) in _HISTORIES.items():
            self.registers[register].forget(keep)
        data = {
            "clock": self.readings.wall_clock.data,
            "registers": {str(register): history.data for register, history in self.registers.items()},
        }
        if (tariffs := self._tariff_registers.history).has_register:
            tariffs.forget(_HISTORIES[Measurement.ACTIVE_ENERGY_IMPORT][1])
            data["tariffs"] = tariffs.data
        return data

    @callback
    def _restore_registers(self, data: Mapping[str, Any]) -> None:
        # All or nothing: totals without their clock or without their meter replacements would be wrong.
        histories = {register: RegisterHistory() for register in self.registers}
        for register, history in histories.items():
            history.restore(data["registers"][register])
        tariffs = RegisterHistory()
        if "tariffs" in data:
            tariffs.restore(data["tariffs"])
        self.readings.wall_clock.restore(data["clock"])
        self.registers = histories
        self._tariff_registers.history = tariffs


def entered_host_of(entry: ConfigEntry) -> str | None:
    """Return the address that the owner of a reader entered; None for one that was only discovered."""
    entered: str | None = entry.data.get(CONF_ENTERED_HOST)
    return entry.data[CONF_HOST] if entered is None and entry.source == SOURCE_USER else entered


def moved_to(entry: ConfigEntry, host: str) -> dict[str, str]:
    """Return the data to update when a reader has moved. An address that its owner entered is kept."""
    entered = entered_host_of(entry)
    return {CONF_HOST: host} | ({} if entered is None else {CONF_ENTERED_HOST: entered})


def registers_key(entry_id: str) -> str:
    """Return the key of the stored register histories of a config entry."""
    return f"{entry_id}.registers"
