"""Availability of a reader and of its meter's readings, and the log lines about it."""

from collections.abc import Callable, Iterable
from datetime import datetime
import math
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .const import LOGGER
from .reader import Freshness, ReaderError, clock

# Seconds of readings until the recovery is logged, so that an unstable stream does not fill the log.
_RECOVERED_AFTER: Final = 60


class Availability:
    """Online state of a reader and freshness of its readings.

    Both last for a few intervals, so that a short disconnect does not change them.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        name: str,
        readings: Freshness,
        on_change: Callable[[], None],
        expire_values: Callable[[float], float],
    ) -> None:
        """Start offline.

        `name` is used in the log. `on_change` is called after each change. `expire_values` removes the
        values that are outdated at a time, and returns the seconds until the next one is.
        """
        self.is_online = False
        """True while the last message of the device is recent enough."""

        self.has_fresh_readings = False
        """True while the last reading is recent enough to be shown."""

        self.last_error: ReaderError | None = None
        """Reason why there is no stream; None while there is one."""

        self._hass = hass
        self._name = name
        self._readings = readings
        self._on_change = on_change
        self._expire_values = expire_values
        self._activity = Freshness()
        self._reported = (False, False)
        """`is_online` and `has_fresh_readings` at the last call of `on_change`."""

        self._is_updated = False
        """False if an error has ended the last update. The next message repeats it."""

        self._fresh_since = 0.0
        self._is_loss_logged = False
        self._expiry_job = HassJob(self._handle_expiry, cancel_on_shutdown=True)
        self._cancel_expiry: CALLBACK_TYPE | None = None

    @callback
    def record_activity(self) -> None:
        """Record that the device has sent a message."""
        self._activity.record(clock.now())
        if not (self.is_online and self._is_updated):
            self._try_update()

    @callback
    def update(self) -> None:
        """Update both states, schedule the next expiry, and report a change."""
        self._is_updated = False
        now = clock.now()
        remaining = [freshness.remaining(now) for freshness in (self._activity, self._readings)]
        self.is_online, self.has_fresh_readings = (seconds > 0 for seconds in remaining)
        # The expiry is scheduled first, so that an unexpected error cannot keep outdated values available.
        self._schedule_expiry(remaining)
        self._schedule_expiry([*remaining, self._expire_values(now)])
        self._report_change(now)
        self._is_updated = True

    @callback
    def _schedule_expiry(self, remaining: Iterable[float]) -> None:
        self.stop()
        if next_expiry := min((seconds for seconds in remaining if 0 < seconds < math.inf), default=None):
            self._cancel_expiry = async_call_later(self._hass, next_expiry, self._expiry_job)

    @callback
    def _report_change(self, now: float) -> None:
        state = self.is_online, self.has_fresh_readings
        if state == self._reported:
            return
        if self.has_fresh_readings:
            self._fresh_since = now
        elif self._reported[1]:
            self._log_loss()
        self._on_change()
        self._reported = state

    @callback
    def log_recovery(self) -> None:
        """Log once that readings arrive again, after they have arrived for a minute."""
        if self._is_loss_logged and clock.now() >= self._fresh_since + _RECOVERED_AFTER:
            self._is_loss_logged = False
            LOGGER.info("%s sends readings again", self._name)

    @callback
    def stop(self) -> None:
        """Cancel the next expiry."""
        cancel, self._cancel_expiry = self._cancel_expiry, None
        if cancel is not None:
            cancel()

    @callback
    def _handle_expiry(self, _now: datetime) -> None:
        self._cancel_expiry, self._is_updated = None, False
        self._try_update()

    @callback
    def _try_update(self) -> None:
        try:
            self.update()
        except Exception:
            LOGGER.exception("Unexpected error while updating the availability")

    @callback
    def _log_loss(self) -> None:
        if not self._is_loss_logged:
            self._is_loss_logged = True
            reason = self.last_error or ("the meter sends no data" if self.is_online else "no data")
            LOGGER.info("%s sends no readings: %s", self._name, reason)
