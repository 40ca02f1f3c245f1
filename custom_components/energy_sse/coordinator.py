"""Owns the connection to one reader, keeps what it says, and tells the entities."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
import logging
from time import monotonic
from typing import Any, Final, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.update_coordinator import BaseDataUpdateCoordinatorProtocol

from .appliances import Appliance
from .const import CONF_KIND, DOMAIN
from .presence import Presence
from .reader import (
    Detection,
    Freshness,
    Measurement,
    Message,
    ReaderAuthenticationError,
    ReaderConnection,
    ReaderError,
    ReaderInfo,
    ReaderKind,
    Reading,
    Transition,
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


class EnergySseCoordinator(BaseDataUpdateCoordinatorProtocol):
    """The state of one reader.

    A listener's context says what it is about, a measurement or the id of an appliance. It is called when
    there is something new about it, or when its availability changes.
    """

    def __init__(self, hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
        """Prepare, with what is remembered from before a restart. Connects to nothing yet."""
        assert entry.unique_id is not None
        self.reader_id = entry.unique_id
        self.reader = make_reader(
            ReaderKind(entry.data[CONF_KIND]),
            async_get_clientsession(hass),
            entry.data[CONF_HOST],
            entry.data.get(CONF_PASSWORD),
        )
        self.registry = Registry(hass, entry)
        self.values: dict[Measurement, float] = {}
        self.presence = Presence(self.registry.measurements())
        self.appliances = {appliance.id: appliance for appliance in self.registry.appliances()}

        self.is_connected = False
        """Whether the device shows signs of life."""

        self.has_fresh_readings = False
        """Whether the meter does, and the values can be believed."""

        self._hass = hass
        self._entry = entry
        self._connection = ReaderConnection(
            self.reader, self.reader_id, on_message=self._handle_message, on_lost=self._handle_lost
        )
        self._first_contact: asyncio.Future[None] = hass.loop.create_future()
        self._last_error: ReaderError | None = None
        self._readings_were_lost = False
        self._signs_of_life = Freshness()
        self._readings = Freshness()
        self._expiry_job = HassJob(self._update_availability, cancel_on_shutdown=True)
        self._cancel_expiry: CALLBACK_TYPE | None = None
        self._reported_at: dict[Measurement, float] = {}
        self._listeners: defaultdict[Any, list[CALLBACK_TYPE]] = defaultdict(list)
        self._add_measurements: list[Callable[[Iterable[Measurement]], None]] = []
        self._add_appliances: list[Callable[[Iterable[Appliance]], None]] = []

    async def async_start(self) -> None:
        """Connect, and return when the device has said who it is.

        Raises ConfigEntryNotReady or ConfigEntryAuthFailed.
        """
        self._entry.async_on_unload(self._stop)
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
    def async_add_measurements_with(self, add: Callable[[Iterable[Measurement]], None]) -> CALLBACK_TYPE:
        """Call a platform with the measurements that there are, and with every one that turns up later."""
        add(self.presence.known)
        self._add_measurements.append(add)
        return lambda: self._add_measurements.remove(add)

    @callback
    def async_add_appliances_with(self, add: Callable[[Iterable[Appliance]], None]) -> CALLBACK_TYPE:
        """Call a platform with the appliances that there are, and with every one that turns up later."""
        add(self.appliances.values())
        self._add_appliances.append(add)
        return lambda: self._add_appliances.remove(add)

    @callback
    def async_hurry(self) -> None:
        """Make the next attempt to connect at once: something says that the device is there."""
        self._connection.hurry()

    # -------------------------------------------------------------------------------- from the reader

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except ReaderAuthenticationError as error:
            is_setting_up = not self._first_contact.done()
            self._handle_lost(error)
            if not is_setting_up:
                self._entry.async_start_reauth(self._hass)

    @callback
    def _handle_message(self, message: Message) -> None:
        self._signs_of_life.heard(monotonic())
        match message:
            case Reading():
                self._handle_reading(message)
            case Transition():
                self._handle_transition(message)
            case Detection():
                self._know_appliance(message.appliance_id)
            case ReaderInfo():
                self._last_error = None
                self.registry.register_reader(self.reader, message)
                if not self._first_contact.done():
                    self._first_contact.set_result(None)
        if not self.is_connected:
            self._update_availability()

    @callback
    def _handle_lost(self, error: ReaderError) -> None:
        self._last_error = error
        _LOGGER.debug("The stream ended: %s", error)
        if not self._first_contact.done():
            self._first_contact.set_exception(error)

    @callback
    def _handle_reading(self, reading: Reading) -> None:
        true_at = monotonic() - reading.age
        if reading.age and self._readings.last is not None and true_at <= self._readings.last:
            # Repeated after a reconnect, and older than what is known.
            return
        self._readings.heard(true_at)
        report_before = true_at - _REPORT_WITHIN + (self._readings.interval or 0)
        changed = [
            measurement
            for measurement, value in reading.values.items()
            if self.values.get(measurement) != value or self._reported_at[measurement] <= report_before
        ]
        for measurement in changed:
            self.values[measurement] = reading.values[measurement]
            self._reported_at[measurement] = true_at
        if self.has_fresh_readings:
            self._notify(changed)
        else:
            self._update_availability()
        if new := self.presence.learn(reading.values):
            for add in self._add_measurements:
                add(new)

    @callback
    def _handle_transition(self, transition: Transition) -> None:
        appliance = self._know_appliance(transition.appliance_id, transition.name)
        event = appliance.apply(transition)
        self.registry.register_appliance(appliance)
        if event is not None:
            appliance.waiting.append(event)
            self._notify([appliance.id])

    @callback
    def _know_appliance(self, appliance_id: str, name: str | None = None) -> Appliance:
        appliance = self.appliances.get(appliance_id)
        if appliance is None:
            appliance = self.appliances[appliance_id] = Appliance(appliance_id, name or appliance_id)
            self.registry.register_appliance(appliance)
            for add in self._add_appliances:
                add([appliance])
        return appliance

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
        now = monotonic()
        before = (self.is_connected, self.has_fresh_readings)
        remaining = [freshness.remaining(now) for freshness in (self._signs_of_life, self._readings)]
        self.is_connected, self.has_fresh_readings = (seconds > 0 for seconds in remaining)
        if (self.is_connected, self.has_fresh_readings) != before:
            self._log_availability(was_fresh=before[1])
            self._notify(list(self._listeners))
        self._stop()
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
    def _stop(self) -> None:
        if self._cancel_expiry is not None:
            self._cancel_expiry()
            self._cancel_expiry = None
