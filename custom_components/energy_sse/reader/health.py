"""What a stream has been through, for whoever looks for a fault."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from .sse import ServerSentEvent

# Enough for a CurrentlyOne's way from `config` to its first live events, and a few minutes of a whatwatt.
_REMEMBERED_EVENTS: Final = 40


# Each reader has less than ten; a stream of garbage must not fill the memory.
_MOST_EVENT_TYPES: Final = 50


@dataclass(slots=True)
class StreamHealth:
    """Counts since the reader was set up."""

    attempts: int = 0
    connects: int = 0
    """Attempts after which the device said who it is."""

    streams: int = 0
    """Answers that were an event stream."""

    losses: Counter[str] = field(default_factory=Counter)
    """Failed attempts and ended streams, by reason."""

    events: Counter[str] = field(default_factory=Counter)
    """By type."""

    oversized_events: int = 0
    recent_events: deque[ServerSentEvent] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_EVENTS))

    def heard(self, event: ServerSentEvent) -> None:
        """Note an event."""
        is_counted = event.type in self.events or len(self.events) < _MOST_EVENT_TYPES
        self.events[event.type if is_counted else "others"] += 1
        self.recent_events.append(event)
