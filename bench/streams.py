"""The bytes that the benchmarks read: recorded samples, and an hour of the simulated readers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
import json
import random

from tests.samples import FOLDER, sample
from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator

HOUR = 3600

# Much of the samples is what is rare in a stream: they are here for its variety.
_SAMPLES_REPEATED = 300

# Bytes of one TCP segment on Ethernet or Wi-Fi.
_SEGMENT = 1460

# A reader writes an event at once and it arrives at once; now and then it does not.
_CUT_SHARE = 0.1


def _house() -> House:
    return House(clock=datetime(2026, 6, 21, 9, 0, tzinfo=UTC))


def whatwatt_payloads() -> Iterator[str]:
    """Yield what a whatwatt says in an hour, once a second."""
    reader = WhatwattSimulator(_house())
    for _ in range(HOUR):
        list(reader.house.advance(1))
        yield json.dumps(reader.live(), separators=(",", ":"))


def currentlyone_payloads() -> Iterator[str]:
    """Yield what a CurrentlyOne says in an hour, once a second."""
    reader = CurrentlyOneSimulator(_house())
    for _ in range(HOUR):
        list(reader.house.advance(1))
        yield reader.state()


@cache
def events(stream: str) -> list[bytes]:
    """Return the events of a stream, each as the bytes that its reader writes."""
    match stream:
        case "whatwatt":
            return [f"event: live\ndata: {each}\n\n".encode() for each in whatwatt_payloads()]
        case "currentlyone":
            return [f"event: state\r\ndata: {each}\r\n\r\n".encode() for each in currentlyone_payloads()]
        case _:
            return [sample(path.name) for path in sorted(FOLDER.glob("*.sse"))] * _SAMPLES_REPEATED


@cache
def whole(stream: str) -> list[bytes]:
    """Return a stream in one piece."""
    return [b"".join(events(stream))]


@cache
def chunks(stream: str) -> list[bytes]:
    """Return a stream as the network delivers it: an event at a time, some of them cut."""
    dice = random.Random(1)
    pieces: list[bytes] = []
    for event in events(stream):
        cuts = {0, *range(_SEGMENT, len(event), _SEGMENT), len(event)}
        if dice.random() < _CUT_SHARE:
            cuts.add(dice.randrange(1, len(event)))
        edges = sorted(cuts)
        pieces += [event[a:b] for a, b in pairwise(edges)]
    return pieces
