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

_DATA: Final = b"data: "

# Bytes. What comes before the data of the readers' events is shorter, and so are nearly all events; what is
# longer is not copied to be looked at again.
_LONGEST_HEAD: Final = 64
_GLANCE: Final = 4096

# Types of events that are expected to come again; the readers have ten.
_MOST_FRAMES: Final = 16


class ServerSentEvent(NamedTuple):
    """One dispatched event."""

    type: str
    """The event's name; `message` when the stream gave none."""

    data: str
    last_event_id: str
    """The last `id` the stream has given so far; empty when there was none."""


class _Frame(NamedTuple):
    """What is around the data of an event, and what that says."""

    type: str
    tail: bytes
    # As numbers, because Python looks for a number in bytes three times as fast as for a byte in bytes.
    newline: int
    """The first byte of the tail."""

    other_newline: int


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

        # What comes before the data of an event of a type that was seen → what is around it.
        self._frames: dict[bytes, _Frame] = {}
        self._is_between_events = False
        # What has arrived of an event that began so.
        self._beginning = b""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that this chunk completes."""
        events: list[ServerSentEvent] = []
        if self._beginning:
            chunk = self._beginning + chunk
            self._beginning = b""
        at, size = 0, len(chunk)
        while at < size:
            # Nearly always an event has a type that was seen before and one line of data. Looking for that
            # first says no more than the lines do, in less than half of the time (0.9 µs instead of 2.2).
            begin = chunk.find(_DATA, at, at + _LONGEST_HEAD) + len(_DATA)
            if self._is_between_events and (frame := self._frames.get(chunk[at:begin])):
                event_type, tail, newline, other_newline = frame
                end = chunk.find(newline, begin)
                data = chunk[begin : end if end >= 0 else size]
                if other_newline not in data:
                    if end < at + EVENT_SIZE_LIMIT and chunk.startswith(tail, end):
                        text = data.decode(errors="replace")
                        events.append(ServerSentEvent(event_type, text, self._last_event_id))
                        at = end + len(tail)
                        continue
                    if end < 0 and size - at < _GLANCE:
                        self._beginning = chunk[at:]
                        break
            end = _end_of_event(chunk, at)
            events += self._feed_lines(chunk[at:end])
            at = end
        return events

    def _feed_lines(self, piece: bytes) -> list[ServerSentEvent]:
        """Decode a piece of the stream, cut anywhere, line by line."""
        if self._after_carriage_return:
            # A line has ended with the CR already; now shows whether an LF belongs to it.
            self._after_carriage_return = False
            piece = piece.removeprefix(b"\n")
            if not piece:
                return []
        self._after_carriage_return = piece.endswith(b"\r")

        # Of bytes, these are the standard's three line ends and no others.
        lines = piece.splitlines()
        rest = b"" if piece.endswith((b"\n", b"\r")) else lines.pop()
        if lines and self._unfinished_line:
            self._keep_unfinished(lines[0])
            lines[0] = bytes(self._unfinished_line)
            self._unfinished_line.clear()
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        if rest:
            self._keep_unfinished(rest)
        events = []
        for line in lines:
            if line:
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._is_between_events = piece.endswith((b"\n\n", b"\r\n\r\n"))
        if events and len(self._frames) < _MOST_FRAMES:
            self._expect_another(events[-1].type, b"\r\n" if piece.endswith(b"\r\n") else b"\n")
        return events

    def _expect_another(self, event_type: str, newline: bytes) -> None:
        head = b"event: %b%b%b" % (event_type.encode(), newline, _DATA)
        if len(head) <= _LONGEST_HEAD:
            other_newline = b"\n" if newline.startswith(b"\r") else b"\r"
            self._frames[head] = _Frame(event_type, 2 * newline, newline[0], other_newline[0])

    def _keep_unfinished(self, part: bytes) -> None:
        """Keep a part of a line, but no more than it takes to see that the line is too long."""
        room = len(_BYTE_ORDER_MARK) + EVENT_SIZE_LIMIT + 1 - len(self._unfinished_line)
        self._unfinished_line += part[:room]

    def _process_field(self, line: bytes) -> None:
        # A comment is a field without a name, and falls through like every unknown field.
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if len(line) > EVENT_SIZE_LIMIT:
            self._oversized |= field in _FIELDS_OF_AN_EVENT
        elif field == b"data":
            self._data_size += len(value) + 1
            if self._data_size > EVENT_SIZE_LIMIT:
                self._oversized = True
            else:
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


def _end_of_event(chunk: bytes, at: int) -> int:
    """Return where the first event may end; the end of the chunk where that is not seen at a glance."""
    line_end = chunk.find(b"\n", at)
    blank = b"\r\n\r\n" if line_end > at and chunk.startswith(b"\r", line_end - 1) else b"\n\n"
    found = chunk.find(blank, at)
    return found + len(blank) if found >= 0 else len(chunk)
