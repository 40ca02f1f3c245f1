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


def is_number(value: object) -> TypeGuard[float]:
    """Tell a number that can be a measurement from everything else, NaN and infinity among it."""
    return type(value) in (float, int) and -_NUMBER_LIMIT < value < _NUMBER_LIMIT  # type: ignore[operator]


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
