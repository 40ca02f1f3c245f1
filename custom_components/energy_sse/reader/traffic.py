"""Traffic of one device: statistics, the last events and responses, and the traffic log.

The traffic log has one line for each event and response, without identities, while debug logging is on.
`python -m tests.simulators replay` makes a simulated reader of it:

    <time> <device> stream <number> opened <path>
    <time> <device> event <number> <type> <data>
    <time> <device> stream <number> ended
    <time> <device> answer <path> <status> <data>
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
import json
import logging
from typing import Any, Final

from . import clock
from .redaction import MAX_LENGTH, REDACTOR, shape
from .sse import ServerSentEvent

# The name differs from the name of this module, because users and recordings refer to this logger.
LOGGER: Final = logging.getLogger(f"{__package__}.recording")

# Events that are kept for the diagnostics: those of a CurrentlyOne from `config` to the first live ones, or
# minutes of a whatwatt.
_MAX_EVENTS: Final = 40

# Each reader has less than ten types. Invalid data must not fill the memory.
_MAX_EVENT_TYPES: Final = 50

# Characters of the type and of the id of an event.
_MAX_NAME_LENGTH: Final = 255

# Characters. Longer texts are redacted in the executor, because they can block the event loop. Usual events
# are shorter.
_MAX_LENGTH_IN_LOOP: Final = 2048

# Numbers in this process, because a log can contain several streams of a device at the same time.
_STREAM_NUMBERS: Final = count(1)


@dataclass(frozen=True, slots=True)
class ReceivedResponse:
    """Response to a request."""

    at: float
    """Time by `clock.now()`."""

    status: int
    body: str
    """Empty if the status is not success."""


type ReceivedEvent = tuple[float, ServerSentEvent]
"""Time by `clock.now()`, and event."""


@dataclass(slots=True)
class ConnectionStats:
    """Statistics since the reader was set up, and the last events and responses."""

    attempts: int = 0
    connects: int = 0
    """Attempts after which the device identified itself."""

    failures: Counter[str] = field(default_factory=Counter)
    """Failed attempts and ended streams, by reason."""

    events: Counter[str] = field(default_factory=Counter)
    """Events by type."""

    oversized_events: int = 0
    recent_events: deque[ReceivedEvent] = field(default_factory=lambda: deque(maxlen=_MAX_EVENTS))
    identity_event: ReceivedEvent | None = None
    """Last event in which the device identified itself, if its stream has such events."""

    responses: dict[str, ReceivedResponse] = field(default_factory=dict)
    """Last response of each path."""

    def add_event(self, event: ServerSentEvent, at: float) -> None:
        """Count and keep an event."""
        event_type = event.type[:_MAX_NAME_LENGTH]
        is_counted = event_type in self.events or len(self.events) < _MAX_EVENT_TYPES
        self.events[event_type if is_counted else "others"] += 1
        last_event_id = event.last_event_id[:_MAX_NAME_LENGTH]
        self.recent_events.append((at, ServerSentEvent(event_type, _bounded(event.data), last_event_id)))

    def add_response(self, path: str, status: int, body: str) -> ReceivedResponse:
        """Keep a response, and return it."""
        self.responses[path] = response = ReceivedResponse(clock.now(), status, _bounded(body))
        return response


@dataclass(slots=True)
class Stream:
    """Open stream."""

    number: int
    path: str
    opened_at: float
    is_logged: bool = False
    """True if the last event is in the log, so that the next event can be understood."""


class TrafficLog:
    """Log of the traffic of one device."""

    def __init__(self, stats: ConnectionStats, host: str) -> None:
        """Start a log of the events and responses that `stats` keeps, with the address of the device."""
        self.host = host
        self._stats = stats

    @contextmanager
    def stream(self, path: str) -> Iterator[Stream]:
        """Log the opening and the end of a stream."""
        stream = Stream(next(_STREAM_NUMBERS), path, clock.now())
        if LOGGER.isEnabledFor(logging.DEBUG):
            self._log_opening(stream)
        try:
            yield stream
        finally:
            if stream.is_logged and LOGGER.isEnabledFor(logging.DEBUG):
                self._log(clock.now(), f"stream {stream.number} ended")

    async def add_event(self, stream: Stream, event: ServerSentEvent, at: float) -> None:
        """Count, keep and log an event."""
        self._stats.add_event(event, at)
        is_enabled = LOGGER.isEnabledFor(logging.DEBUG)
        if is_enabled:
            received = self._stats.recent_events[-1]
            if not stream.is_logged:
                await self._log_beginning(stream)
            await self._log_event(stream, received)
        stream.is_logged = is_enabled

    async def add_response(self, path: str, status: int, body: str) -> None:
        """Keep and log a response."""
        response = self._stats.add_response(path, status, body)
        if LOGGER.isEnabledFor(logging.DEBUG):
            await self._log_response(path, response)

    async def _log_beginning(self, stream: Stream) -> None:
        """Log earlier traffic that is needed to understand the following events."""
        for path, response in list(self._stats.responses.items()):
            await self._log_response(path, response)
        self._log_opening(stream)
        identity_event = self._stats.identity_event
        if identity_event is not None and identity_event[0] >= stream.opened_at:
            await self._log_event(stream, identity_event)

    def _log_opening(self, stream: Stream) -> None:
        stream.is_logged = True
        self._log(stream.opened_at, f"stream {stream.number} opened {stream.path}")

    async def _log_event(self, stream: Stream, received: ReceivedEvent) -> None:
        at, event = received
        data = await _redacted(event.data, REDACTOR.event, event.type)
        self._log(at, f"event {stream.number} {REDACTOR.event_type(event.type)} {data}")

    async def _log_response(self, path: str, response: ReceivedResponse) -> None:
        body = await _redacted(response.body, REDACTOR.data)
        # The format of recordings calls a response "answer".
        self._log(response.at, f"answer {path} {response.status} {body}".rstrip())

    def _log(self, at: float, text: str) -> None:
        time = datetime.now(UTC) - timedelta(seconds=clock.now() - at)
        stamp = time.replace(tzinfo=None).isoformat(timespec="milliseconds")
        LOGGER.debug("%sZ %s %s", stamp, REDACTOR.pseudonym(self.host), text)


async def _redacted(text: str, redact: Callable[..., dict[str, Any] | str], *before: str) -> str:
    """Return a redacted text as one line."""

    def to_line() -> str:
        redacted = redact(*before, text)
        return redacted if isinstance(redacted, str) else json.dumps(redacted, separators=(",", ":"))

    if len(text) <= _MAX_LENGTH_IN_LOOP:
        return to_line()
    # The caller awaits the executor, so that the lines stay in order.
    return await asyncio.get_running_loop().run_in_executor(None, to_line)


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else shape(text)
