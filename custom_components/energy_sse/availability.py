"""What can be believed at this moment, and what the log says of it."""

from collections.abc import Callable
from datetime import datetime
import logging
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .reader import ErrorGuard, Freshness, ReaderError, clock

_LOGGER = logging.getLogger(__name__)

# Seconds of readings after which they are said to be back.
_BACK_AFTER: Final = 60


class Availability:
    """Whether a reader is alive and its meter's readings are fresh, and when that ends."""

    def __init__(
        self,
        hass: HomeAssistant,
        model: str,
        readings: Freshness,
        *,
        expires: Callable[[], None],
        changed: Callable[[], None],
        errors: ErrorGuard,
    ) -> None:
        """Start without signs of life. `model` is what the log says; `changed` is called at every change.

        `expires` is called before readings become too old.
        """
        self.is_alive = False
        """Whether the device has shown signs of life lately. A short drop of its stream changes nothing."""

        self.has_fresh_readings = False
        """Whether readings have arrived lately, and the values can be believed."""

        self.last_error: ReaderError | None = None
        """Why there is no stream; None while there is one."""

        self._hass = hass
        self._model = model
        self._readings = readings
        self._expires = expires
        self._changed = changed
        self._errors = errors
        self._signs_of_life = Freshness()
        self._fresh_since = 0.0
        self._loss_was_logged = False
        self._expiry_job = HassJob(self._expire, cancel_on_shutdown=True)
        self._cancel_expiry: CALLBACK_TYPE | None = None

    @callback
    def note_sign_of_life(self) -> None:
        """Note that the device has said something, whatever it was."""
        self._signs_of_life.note(clock.now())
        if self._cancel_expiry is None:
            # It was not alive, or an error has cost the next look.
            self.update()

    @callback
    def update(self) -> None:
        """Find out what can be believed, tell if that has changed, and look again in time."""
        now = clock.now()
        before = (self.is_alive, self.has_fresh_readings)
        remaining = [freshness.remaining(now) for freshness in (self._signs_of_life, self._readings)]
        is_alive, has_fresh_readings = (seconds > 0 for seconds in remaining)
        if self.has_fresh_readings and not has_fresh_readings:
            self._expires()
        self.is_alive, self.has_fresh_readings = is_alive, has_fresh_readings
        # First of all: whatever may go wrong below, no value stays for ever.
        self.stop()
        if next_expiry := min((seconds for seconds in remaining if seconds > 0), default=None):
            self._cancel_expiry = async_call_later(self._hass, next_expiry, self._expiry_job)
        if (self.is_alive, self.has_fresh_readings) != before:
            if self.has_fresh_readings:
                self._fresh_since = now
            elif before[1]:
                self._log_loss()
            self._changed()

    @callback
    def log_return(self) -> None:
        """Log that readings are back, once they have stayed: a stream that comes and goes is no news."""
        if self._loss_was_logged and clock.now() >= self._fresh_since + _BACK_AFTER:
            self._loss_was_logged = False
            _LOGGER.info("The %s sends readings again", self._model)

    @callback
    def stop(self) -> None:
        """Cancel the next look."""
        cancel, self._cancel_expiry = self._cancel_expiry, None
        if cancel is not None:
            cancel()

    @callback
    def _expire(self, _now: datetime) -> None:
        self._cancel_expiry = None
        with self._errors.guard("looking whether values have become too old"):
            self.update()

    @callback
    def _log_loss(self) -> None:
        if not self._loss_was_logged:
            self._loss_was_logged = True
            reason = "its meter is silent" if self.is_alive else self.last_error or "it is silent"
            _LOGGER.info("The %s sends no readings any more: %s", self._model, reason)
