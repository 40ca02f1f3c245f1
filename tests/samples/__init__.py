"""Recorded payloads; see README.md."""

from pathlib import Path

from custom_components.energy_sse.reader.sse import EventStreamDecoder, ServerSentEvent

FOLDER = Path(__file__).parent


def sample(name: str) -> bytes:
    """Return a recorded payload as it is."""
    return (FOLDER / name).read_bytes()


def sample_events(name: str) -> list[ServerSentEvent]:
    """Return the events of a recorded stream."""
    return EventStreamDecoder().feed(sample(name))
