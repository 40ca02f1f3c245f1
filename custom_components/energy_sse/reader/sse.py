"""The event stream format: bytes in, events out.

Implements "interpreting an event stream" of the HTML standard (section server-sent events), and nothing else.
"""

from typing import Final, NamedTuple

# Bytes, as of a response: 25 times the largest event that either reader is known to send. Beyond it a line is
# a fault or an attack, and is not kept.
MAX_EVENT_SIZE: Final = 64 * 1024

_FIELDS_OF_AN_EVENT: Final = frozenset({b"data", b"event", b"id"})

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event."""

    type: str
    """The event's name; `message` when the stream gave none."""

    data: str
    last_event_id: str
    """The last `id` the stream has given so far; empty when there was none."""


class EventStreamDecoder:
    """Decodes one event stream, fed in chunks that may be cut anywhere.

    Takes any bytes without raising. What it holds is bounded by `MAX_EVENT_SIZE`: an event that exceeds it,
    in one line or in many, is dropped and counted, and the stream goes on with the next event.
    """

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self.dropped_events = 0
        """How many events were too large."""

        self._last_event_id = ""
        self._at_start = True
        self._after_carriage_return = False
        self._unfinished_line = bytearray()

        # The event whose end has not arrived.
        self._type = ""
        self._data: list[bytes] = []
        self._room = MAX_EVENT_SIZE
        self._is_oversized = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that this chunk completes."""
        events = []
        for line in self._lines_ended_by(chunk):
            if line:
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _lines_ended_by(self, chunk: bytes) -> list[bytes]:
        """Return the lines whose ends are in a chunk, and keep the rest of it."""
        if not chunk:
            return []
        if self._after_carriage_return:
            # A line has ended with the CR already; now shows whether an LF belongs to it.
            chunk = chunk.removeprefix(b"\n")
        self._after_carriage_return = chunk.endswith(b"\r")
        # Of bytes, these are the standard's three line ends and no others.
        lines = chunk.splitlines()
        rest = lines.pop() if chunk and not chunk.endswith((b"\n", b"\r")) else b""
        if lines and self._unfinished_line:
            self._keep_unfinished(lines[0])
            lines[0] = bytes(self._unfinished_line)
            self._unfinished_line.clear()
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        if rest:
            self._keep_unfinished(rest)
        return lines

    def _keep_unfinished(self, part: bytes) -> None:
        """Keep a part of a line, but no more than it takes to see that the line is too long."""
        room = len(_BYTE_ORDER_MARK) + MAX_EVENT_SIZE + 1 - len(self._unfinished_line)
        self._unfinished_line += part[:room]

    def _process_field(self, line: bytes) -> None:
        # A comment is a field without a name, and falls through like every unknown field. `retry` does, too:
        # the connection decides how long to wait.
        field, _, value = line.partition(b":")
        if len(line) > MAX_EVENT_SIZE:
            self._is_oversized |= field in _FIELDS_OF_AN_EVENT
        elif field == b"data":
            self._room -= len(line)
            if self._room >= 0:
                self._data.append(value.removeprefix(b" "))
            else:
                self._is_oversized = True
        elif field == b"event":
            self._type = value.removeprefix(b" ").decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            self._last_event_id = value.removeprefix(b" ").decode(errors="replace")

    def _dispatch(self) -> ServerSentEvent | None:
        event = None
        if self._is_oversized:
            self.dropped_events += 1
            self._is_oversized = False
        elif self._data:
            data = b"\n".join(self._data).decode(errors="replace")
            event = ServerSentEvent(self._type or "message", data, self._last_event_id)
        self._type = ""
        self._data.clear()
        self._room = MAX_EVENT_SIZE
        return event
