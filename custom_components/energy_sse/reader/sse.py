"""The event stream format: bytes in, events out.

Implements "interpreting an event stream" of the HTML standard (section server-sent events), and nothing else.
"""

from typing import Final, NamedTuple

# A hundred times the largest event that either reader is known to send, and as much as such a device has
# memory in all. Beyond it a line is a fault or an attack, and is not kept.
EVENT_SIZE_LIMIT: Final = 256 * 1024

# More digits than that are no wait anybody means, and a line full of them would be costly to convert.
_RETRY_DIGITS_LIMIT: Final = 18

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

    Takes any bytes without raising. What it holds is bounded by `EVENT_SIZE_LIMIT`: an event that exceeds it,
    in one line or in many, is dropped and counted, and the stream goes on with the next event.
    """

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self.dropped_events = 0
        """How many events were too large."""

        self.retry: int | None = None
        """The reconnection time that the stream asked for, in milliseconds."""

        self._last_event_id = ""
        self._at_start = True
        self._after_carriage_return = False
        self._unfinished_line = bytearray()

        # The event whose end has not arrived.
        self._type = ""
        self._data: list[bytes] = []
        self._data_size = 0
        self._oversized = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that this chunk completes."""
        if self._after_carriage_return and chunk:
            self._after_carriage_return = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            # A line ends with the CR already; whether an LF belongs to it shows with the next chunk.
            self._after_carriage_return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        *lines, rest = chunk.split(b"\n")
        if lines and self._unfinished_line:
            self._keep_unfinished(lines[0])
            lines[0] = bytes(self._unfinished_line)
            self._unfinished_line.clear()
        if rest:
            self._keep_unfinished(rest)
        return [event for line in lines if (event := self._process_line(line)) is not None]

    def _keep_unfinished(self, part: bytes) -> None:
        """Keep a part of a line, but no more than it takes to see that the line is too long."""
        room = len(_BYTE_ORDER_MARK) + EVENT_SIZE_LIMIT + 1 - len(self._unfinished_line)
        self._unfinished_line += part[:room]

    def _process_line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._dispatch()

        # A comment is a field without a name, and falls through like every unknown field.
        field, _, value = line.partition(b":")
        if len(line) > EVENT_SIZE_LIMIT:
            self._oversized |= field in _FIELDS_OF_AN_EVENT
        else:
            self._process_field(field, value.removeprefix(b" "))
        if self._oversized:
            self._data.clear()
        return None

    def _process_field(self, field: bytes, value: bytes) -> None:
        if field == b"data":
            self._data_size += len(value) + 1
            self._oversized |= self._data_size > EVENT_SIZE_LIMIT
            self._data.append(value)
        elif field == b"event":
            self._type = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            self._last_event_id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS_LIMIT:
            self.retry = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        event = None
        if self._oversized:
            self.dropped_events += 1
        elif self._data:
            data = b"\n".join(self._data).decode(errors="replace")
            event = ServerSentEvent(self._type or "message", data, self._last_event_id)
        self._type = ""
        self._data.clear()
        self._data_size = 0
        self._oversized = False
        return event
