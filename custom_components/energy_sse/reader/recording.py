"""What a device says, word for word but without identities, in the log: one line for each event and answer.

Written while debug logging is on, and good for being that device later (`python -m tests.simulators replay`):

    <time> <device> stream <number> opened <path>
    <time> <device> event <number> <type> <data>
    <time> <device> stream <number> ended
    <time> <device> answer <path> <status> <data>
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
import json
import logging
from typing import Final

from . import clock
from .redaction import MAX_LENGTH, REDACTOR
from .traffic import ConnectionStats, ReceivedEvent, ReceivedResponse

LOGGER: Final = logging.getLogger(__name__)

# Of this process: a log may hold several streams of a device at a time.
_STREAM_NUMBERS: Final = count(1)


@dataclass(slots=True)
class RecordedStream:
    """A stream that runs."""

    number: int
    path: str
    opened_at: float
    is_logged: bool = False
    last_logged: ReceivedEvent | None = None


class TrafficLog:
    """Writes down what one device says. Whoever asks it to has looked whether recording is on."""

    def __init__(self, stats: ConnectionStats) -> None:
        """Prepare to write down what `stats` notes."""
        self.host = ""
        """Where the device is asked."""

        self._stats = stats

    @contextmanager
    def stream(self, path: str) -> Iterator[RecordedStream]:
        """Write down that a stream has opened, and in the end that it has ended."""
        stream = RecordedStream(next(_STREAM_NUMBERS), path, clock.now())
        if LOGGER.isEnabledFor(logging.DEBUG):
            self._write_opening(stream)
            stream.last_logged = self._heard_before(1)
        try:
            yield stream
        finally:
            if stream.is_logged and LOGGER.isEnabledFor(logging.DEBUG):
                self._write(clock.now(), f"stream {stream.number} ended")

    def record_event(self, stream: RecordedStream) -> None:
        """Write down the event that was heard last."""
        # Nothing is told while recording is off: that the event before was not tells that it was off.
        if not stream.is_logged or stream.last_logged is not self._heard_before(2):
            self._write_beginning(stream)
        stream.last_logged = self._heard_before(1)
        self._write_event(stream, self._stats.recent_events[-1])

    def record_response(self, path: str, response: ReceivedResponse) -> None:
        """Log a response."""
        body = _one_line(REDACTOR.json(response.body), len(response.body))
        self._write(response.at, f"answer {path} {response.status} {body}".rstrip())

    def _write_beginning(self, stream: RecordedStream) -> None:
        """Write down what was said before, without which the rest cannot be understood."""
        for path, response in self._stats.responses.items():
            self.record_response(path, response)
        self._write_opening(stream)
        introduction = self._stats.identity_event
        if introduction is not None and introduction[0] >= stream.opened_at:
            self._write_event(stream, introduction)

    def _write_opening(self, stream: RecordedStream) -> None:
        stream.is_logged = True
        self._write(stream.opened_at, f"stream {stream.number} opened {stream.path}")

    def _heard_before(self, back: int) -> ReceivedEvent | None:
        recent = self._stats.recent_events
        return recent[-back] if len(recent) >= back else None

    def _write_event(self, stream: RecordedStream, heard: ReceivedEvent) -> None:
        at, event = heard
        data = _one_line(REDACTOR.event(event.type, event.data), len(event.data))
        self._write(at, f"event {stream.number} {REDACTOR.event_type(event.type)} {data}")

    def _write(self, at: float, what: str) -> None:
        time = datetime.now(UTC) - timedelta(seconds=clock.now() - at)
        stamp = time.replace(tzinfo=None).isoformat(timespec="milliseconds")
        LOGGER.debug("%sZ %s %s", stamp, REDACTOR.pseudonym(self.host), what)


def _one_line(text: str, length: int) -> str:
    """Return a text as it is, or in quotes where it would not stay one line or be taken for quoted."""
    if not text.isprintable() or text.startswith(('"', "(")):
        text = json.dumps(text)
    return f"(the first {MAX_LENGTH} characters) {text}" if length > MAX_LENGTH else text
