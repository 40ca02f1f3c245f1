"""JSON as the devices write it: sometimes broken, never trusted."""

from collections.abc import Mapping
from datetime import UTC, datetime
import json
import re
from typing import Any, Final, TypeGuard

import orjson

# A value that C's printf wrote for a float that is none; JSON has no word for it.
_NOT_A_NUMBER = re.compile(r"(?<=[:,\[])\s*-?(?:nan|inf(?:inity)?)\s*(?=[,}\]])", re.IGNORECASE)

# Nothing that a meter counts has more digits, and a float holds every integer below it exactly.
_NUMBER_LIMIT: Final = 1e15


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that the text holds, or None when it holds none.

    Forgives what small devices get wrong without changing what they say: control characters inside strings,
    and `nan` or `inf` as a value, which becomes null.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        try:
            value = json.loads(_NOT_A_NUMBER.sub("null", text), strict=False)
        except ValueError, RecursionError:
            return None
    return value if isinstance(value, dict) else None


# Not bool, which is an int to isinstance.
_NUMBER_TYPES: Final = frozenset({float, int})


def is_number(value: object) -> TypeGuard[float]:
    """Tell a number that can be a measurement from everything else, NaN and infinity among it."""
    return type(value) in _NUMBER_TYPES and abs(value) < _NUMBER_LIMIT  # type: ignore[arg-type]


def numbers_in[K](payload: Mapping[str, Any], names: Mapping[str, K]) -> dict[K, float]:
    """Return the numbers at the keys that have a name, by their names."""
    # `is_number` once more, in place: this is all values of all readings, and calling it would cost as much
    # as parsing the JSON (2 µs of 6 for the 39 keys of a whatwatt).
    return {
        names[key]: value
        for key, value in payload.items()
        if key in names and type(value) in _NUMBER_TYPES and abs(value) < _NUMBER_LIMIT
    }


def get_number(payload: Mapping[str, Any], key: str) -> float | None:
    """Return a number, or None for anything else."""
    value = payload.get(key)
    return value if is_number(value) else None


def get_text(payload: Mapping[str, Any], key: str) -> str | None:
    """Return a text that says something, or None for anything else."""
    value = payload.get(key)
    return value if isinstance(value, str) and value else None


def get_object(payload: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a nested object, empty when there is none."""
    value = payload.get(key)
    return value if isinstance(value, dict) else {}


def get_time(payload: Mapping[str, Any], key: str) -> datetime | None:
    """Return the time of a number of seconds since 1970, or None where there is no such time."""
    seconds = get_number(payload, key)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except OverflowError, ValueError, OSError:
        return None
