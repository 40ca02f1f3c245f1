"""What a stream has been through, for whoever looks for a fault."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from .redaction import MAX_LENGTH
from .sse import ServerSentEvent

# Enough for a CurrentlyOne's way from `config` to its first live events, and a few minutes of a whatwatt.
_MAX_EVENTS: Final = 40

# Characters. One more than is shown of it, which tells that there was more.
_MAX_PART_LENGTH: Final = MAX_LENGTH + 1

# Each reader has less than ten; a stream of garbage must not fill the memory.
_MAX_EVENT_TYPES: Final = 50


@dataclass(frozen=True, slots=True)
class ReceivedResponse:
    """What a device answered on a path."""

    at: float
    """By the clock of `clock.now()`."""

    status: int
    body: str
    """Empty with a status that says that there is nothing."""


type ReceivedEvent = tuple[float, ServerSentEvent]
"""When, by the clock of `clock.now()`, and what."""


@dataclass(slots=True)
class ConnectionStats:
    """What has happened since the reader was set up."""

    attempts: int = 0
    connects: int = 0
    """Attempts after which the device said who it is."""

    failures: Counter[str] = field(default_factory=Counter)
    """Failed attempts and ended streams, by reason."""

    events: Counter[str] = field(default_factory=Counter)
    """By type."""

    oversized_events: int = 0
    recent_events: deque[ReceivedEvent] = field(default_factory=lambda: deque(maxlen=_MAX_EVENTS))
    identity_event: ReceivedEvent | None = None
    """The last event in which the device said who it is, where its stream does."""

    responses: dict[str, ReceivedResponse] = field(default_factory=dict)
    """The last ones, by path."""

    def add_event(self, event: ServerSentEvent, at: float) -> None:
        """Note an event that the device has sent."""
        if max(map(len, event)) > _MAX_PART_LENGTH:
            event = ServerSentEvent(*(part[:_MAX_PART_LENGTH] for part in event))
        is_counted = event.type in self.events or len(self.events) < _MAX_EVENT_TYPES
        self.events[event.type if is_counted else "others"] += 1
        self.recent_events.append((at, event))
