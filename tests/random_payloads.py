"""Payloads of a device, changed at random. The same seed gives the same payloads."""

from collections.abc import Iterator
import copy
import json
import math
from random import Random
from typing import Any, Final

from custom_components.energy_sse.reader import READERS

_TEXTS: Final = (
    *(
        "",
        " ",
        "on",
        "off",
        "ON",
        "OFF",
        "HAN",
        "H+B",
        "BLINK",
        "KEY REQUIRED",
        "NO DATA",
        "OK",
        "mocca_mast",
    ),
    *("dishwasher", "counter:1", "active_energy_import", "2025-04-11T09:48:05+0200"),
    *("9999-12-31T23:59:59-2359", "0001-01-01T00:00:00+2359", "half \ud83d and \udca1 half", "💡", "\x00"),
    *("a\x00b", "two\r\nlines\n", "\u202eright to left\u2066", "{braces} %s {0}", 'quote " and \\ backslash'),
    *("[Markdown](http://evil.example) <img src=x>", "n" * 256, "ß" * 20_000, "e\u0301" * 200),
)
_NUMBERS: Final = (
    *(0, 1, -1, 0.0, -0.0, 5, 255, 65_535, -273.15, 1e-300, 1e14, 1e15, 1e16, 1e300, 2**31, 2**53, 2**64),
    *(10**40, math.nan, math.inf, -math.inf, 1_744_357_681, -62_135_596_800, 253_402_300_800),
)
_KEYS: Final = (
    *(key for reader in READERS.values() for key in reader.fields),
    *("id", "m", "t", "sec", "name", "dName", "sName", "bs", "from", "cat", "detected", "to", "Vol", "M_ID"),
    *("Cum", "states", "devices", "status", "rssi", "area", "rr", "v", "\ud83d", "\x00", ""),
)
_NEVER_SEEN_EVENTS: Final = ("live", "state", "transition", "hourly", "message", "\x00", "💡", "e" * 300)


class RandomPayloads:
    """Random payloads of one device."""

    def __init__(self, seed: object) -> None:
        self._random = Random(f"payloads {seed}")
        self.is_valid = False
        """True if payloads are not changed."""

    def response_body(self, payload: Any) -> bytes:
        """Return the body of a response."""
        if self.is_valid:
            return json.dumps(payload).encode()
        return self._written(self.changed(payload))

    def event(self, event_type: str, payload: Any) -> bytes:
        """Return the bytes of an event."""
        if not self.is_valid and self._random.random() < 0.02:
            event_type = self._random.choice(_NEVER_SEEN_EVENTS)
        end = self._random.choice((b"\n", b"\r\n"))
        # A line break would end the data.
        data = self.response_body(payload).replace(b"\r", b" ").replace(b"\n", b" ")
        return b"event: " + event_type.encode() + end + b"data: " + data + end + end

    def choose[T](self, *things: T) -> T:
        """Return a random item."""
        return self._random.choice(things)

    def changed(self, payload: Any) -> Any:
        """Return a payload with up to three changes, and often without any."""
        payload = copy.deepcopy(payload)
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 3))):
            places = list(_places(payload))
            if not places:
                return self._value()
            container, key = self._random.choice(places)
            match self._random.randrange(6):
                case 0:
                    del container[key]
                case 1 if isinstance(container, dict):
                    container[self._random.choice(_KEYS)] = container.pop(key)
                case 2 if isinstance(container, list):
                    container.extend(copy.deepcopy(container[:3]))
                case 3 if isinstance(container[key], int | float) and not isinstance(container[key], bool):
                    container[key] *= self._random.choice((-1, 0, 0.5, 1.001, 10, 1000))
                case 4 if isinstance(container[key], str):
                    container[key] = f"{container[key]}{self._random.randrange(200)}"
                case _:
                    container[key] = self._value()
        return payload

    def _value(self, depth: int = 0) -> Any:
        match self._random.randrange(5 if depth < 3 else 3):
            case 0:
                return self._random.choice(_TEXTS)
            case 1:
                return self._random.choice(_NUMBERS)
            case 2:
                return self._random.choice((None, True, False))
            case 3:
                return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
            case _:
                keys = self._random.sample(_KEYS, self._random.randrange(4))
                return {key: self._value(depth + 1) for key in keys}

    def _written(self, payload: Any) -> bytes:
        """Return JSON as small devices write it: sometimes broken."""
        text = json.dumps(payload, ensure_ascii=self._random.random() < 0.7)
        written = text.encode(errors="surrogatepass")
        match self._random.randrange(60):
            case 0:
                return written.replace(b'\\"', b'"')
            case 1:
                return written.replace(b"\\u0000", b"\x00").replace(b"\\n", b"\t")
            case 2:
                return written[: self._random.randrange(len(written) + 1)]
            case 3:
                depth = self._random.choice((10, 500, 2000))
                return b'{"a":' * depth + written + b"}" * depth
            case _:
                return written


def _places(payload: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the key of each value in a payload."""
    keys = (
        list(payload)
        if isinstance(payload, dict)
        else range(len(payload))
        if isinstance(payload, list)
        else ()
    )
    for key in keys:
        yield payload, key
        yield from _places(payload[key])
