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
from .health import Answer, HeardEvent, StreamHealth
from .redaction import LENGTH_LIMIT, REDACTOR

LOGGER: Final = logging.getLogger(__name__)

# Of this process: a log may hold several streams of a device at a time.
_STREAM_NUMBERS: Final = count(1)


@dataclass(slots=True)
class RecordedStream:
    """A stream that runs."""

    number: int
    path: str
    opened_at: float
    is_told: bool = False
    last_told: HeardEvent | None = None


class Recorder:
    """Writes down what one device says. Whoever asks it to has looked whether recording is on."""

    def __init__(self, health: StreamHealth) -> None:
        """Prepare to write down what `health` notes."""
        self.host = ""
        """Where the device is asked."""

        self._health = health

    @contextmanager
    def stream(self, path: str) -> Iterator[RecordedStream]:
        """Write down that a stream has opened, and in the end that it has ended."""
        stream = RecordedStream(next(_STREAM_NUMBERS), path, clock.now())
        if LOGGER.isEnabledFor(logging.DEBUG):
            self._write_opening(stream)
            stream.last_told = self._heard_before(1)
        try:
            yield stream
        finally:
            if stream.is_told and LOGGER.isEnabledFor(logging.DEBUG):
                self._write(clock.now(), f"stream {stream.number} ended")

    def record_event(self, stream: RecordedStream) -> None:
        """Write down the event that was heard last."""
        # Nothing is told while recording is off: that the event before was not tells that it was off.
        if not stream.is_told or stream.last_told is not self._heard_before(2):
            self._write_beginning(stream)
        stream.last_told = self._heard_before(1)
        self._write_event(stream, self._health.recent_events[-1])

    def record_answer(self, path: str, answer: Answer) -> None:
        """Write down an answer."""
        body = REDACTOR.json(answer.body)
        self._write(answer.at, f"answer {path} {answer.status} {_one_line(body, len(answer.body))}".rstrip())

    def _write_beginning(self, stream: RecordedStream) -> None:
        """Write down what was said before, without which the rest cannot be understood."""
        for path, answer in self._health.answers.items():
            self.record_answer(path, answer)
        self._write_opening(stream)
        introduction = self._health.introduction
        if introduction is not None and introduction[0] >= stream.opened_at:
            self._write_event(stream, introduction)

    def _write_opening(self, stream: RecordedStream) -> None:
        stream.is_told = True
        self._write(stream.opened_at, f"stream {stream.number} opened {stream.path}")

    def _heard_before(self, back: int) -> HeardEvent | None:
        recent = self._health.recent_events
        return recent[-back] if len(recent) >= back else None

    def _write_event(self, stream: RecordedStream, heard: HeardEvent) -> None:
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
    return f"(the first {LENGTH_LIMIT} characters) {text}" if length > LENGTH_LIMIT else text
