"""Decoder of the event stream format, by the HTML standard (section "server-sent events")."""

from typing import Final, NamedTuple

# Bytes, the same limit as for a response: 25 times the largest known event. A larger one is a fault or an
# attack.
MAX_EVENT_SIZE: Final = 64 * 1024

_EVENT_FIELDS: Final = frozenset({b"data", b"event", b"id"})

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """Event of a stream."""

    type: str
    """`message` if the event has none."""

    data: str
    last_event_id: str
    """Last `id` of the stream; empty without one."""


class EventStreamDecoder:
    """Decoder of one event stream, whose chunks can begin and end anywhere.

    It accepts any bytes. An event above `MAX_EVENT_SIZE`, in one line or in many, is dropped and counted, and
    takes no more memory than that.
    """

    def __init__(self) -> None:
        """Initialize for a new stream."""
        self.dropped_events = 0
        """Number of events that were too large."""

        self._last_event_id = ""
        self._at_start = True
        self._after_carriage_return = False
        self._unfinished_line = bytearray()

        # Fields of the event that is not complete yet.
        self._type = ""
        self._data: list[bytes] = []
        self._remaining = MAX_EVENT_SIZE
        """Bytes until the limit of this event."""

        self._is_oversized = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that this chunk completes."""
        events = []
        for line in self._split_lines(chunk):
            if line:
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _split_lines(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in a chunk, and keep the rest of the chunk for the next one."""
        if not chunk:
            return []
        if self._after_carriage_return:
            # The line ended with the CR. An LF right after it belongs to the same line end.
            chunk = chunk.removeprefix(b"\n")
        self._after_carriage_return = chunk.endswith(b"\r")
        # For bytes, this splits at the three line ends of the standard only.
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
        """Keep a part of a line, up to one byte above the limit, which shows that the line is too long."""
        remaining = len(_BYTE_ORDER_MARK) + MAX_EVENT_SIZE + 1 - len(self._unfinished_line)
        self._unfinished_line += part[:remaining]

    def _process_field(self, line: bytes) -> None:
        # A comment is a field without a name, and is ignored like every unknown field. So is `retry`, because
        # the connection decides how long to wait.
        field, _, value = line.partition(b":")
        if len(line) > MAX_EVENT_SIZE:
            self._is_oversized |= field in _EVENT_FIELDS
        elif field == b"data":
            self._remaining -= len(line)
            if self._remaining >= 0:
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
        self._remaining = MAX_EVENT_SIZE
        return event
