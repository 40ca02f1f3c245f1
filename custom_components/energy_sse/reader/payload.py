"""JSON as the devices write it: sometimes broken, never trusted."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
import json
import re
from typing import Any, Final, TypeGuard

import orjson

# A value that C's printf wrote for a float that is none; JSON has no word for it.
_NOT_A_NUMBER = re.compile(r"(?<=[:,\[])\s*-?(?:nan|inf(?:inity)?)\s*(?=[,}\]])", re.IGNORECASE)

# Bytes or characters. Repairing 64 KiB of brackets takes 30 ms.
_MAX_REPAIRED_SIZE: Final = 16 * 1024

# Characters. What Home Assistant holds as a state; no device has been seen to need half of it.
_MAX_TEXT_LENGTH: Final = 255

# What no line of text shows: control characters, all line ends and the NUL that PostgreSQL refuses included,
# and what turns the direction of the text around it.
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Nothing that a meter counts has more digits, and a float holds every integer below it exactly.
_MAX_NUMBER: Final = 1e15


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that the text holds, or None when it holds none.

    Forgives what small devices get wrong without changing what they say: control characters inside strings,
    and `nan` or `inf` as a value, which becomes null. Half a character becomes a question mark, in keys and
    values: no UTF-8 holds it, so that who keeps it can store nothing any more.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if len(text) > _MAX_REPAIRED_SIZE:
            return None
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        try:
            forgiven = json.loads(_NOT_A_NUMBER.sub("null", text), strict=False)
            value = json.loads(json.dumps(forgiven, ensure_ascii=False).encode(errors="replace"))
        except ValueError, RecursionError:
            return None
    return value if isinstance(value, dict) else None


def parse_fields(text: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the texts of keys in an object that is not valid JSON, because a text in it contains a quote."""
    return dict(re.findall(rf'"({"|".join(keys)})"\s*:\s*"([^"\\]*)"', text))


# A number that is written as a text, as the C function printf writes it. All else leaves doubt: a comma can
# separate decimals or thousands, and a number that ends with its point may have been cut.
_WRITTEN_NUMBER = re.compile(r" *[+-]?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})? *", re.IGNORECASE)


def is_number(value: object) -> TypeGuard[float]:
    """Tell a number that can be a measurement from everything else, NaN and infinity among it."""
    # Not bool, which is an int to isinstance.
    return (type(value) is int or type(value) is float) and abs(value) < _MAX_NUMBER


def as_number(value: object) -> float | None:
    """Return a value as a number, also if it is written as a text; None if it is not a number.

    Zero has no sign.
    """
    if isinstance(value, str) and (written := _WRITTEN_NUMBER.fullmatch(value)):
        value = int(value) if written.lastindex is None else float(value)
    return value + 0 if is_number(value) else None


def parse_numbers[K](payload: Mapping[str, Any], names: Mapping[str, K]) -> dict[K, float]:
    """Return the numbers at the keys that have a name, by their names."""
    # `as_number` once more, in place: this is all values of all readings, and calling it would cost as much
    # as parsing the JSON (2 µs of 6 for the 39 keys of a whatwatt).
    numbers: dict[K, float] = {}
    get_name = names.get
    for key, value in payload.items():
        if (name := get_name(key)) is not None:
            if type(value) is float:
                if abs(value) < _MAX_NUMBER:
                    numbers[name] = value + 0.0
            elif type(value) is int:
                if abs(value) < _MAX_NUMBER:
                    numbers[name] = value
            elif (number := as_number(value)) is not None:
                numbers[name] = number
    return numbers


def get_number(payload: Mapping[str, Any], key: str) -> float | None:
    """Return a number, or None for anything else."""
    return as_number(payload.get(key))


def get_integer(payload: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number, or None for anything else."""
    number = get_number(payload, key)
    return int(number) if number is not None and number.is_integer() else None


def get_id(payload: Mapping[str, Any], key: str) -> str | None:
    """Return an id, which is a text or a whole number, as a text; None for anything else."""
    value = payload.get(key)
    if type(value) is int or (is_number(value) and value.is_integer()):
        return str(int(value))[:_MAX_TEXT_LENGTH]
    return get_text(payload, key)


def get_text(payload: Mapping[str, Any], key: str) -> str | None:
    """Return a text that says something, or None for anything else.

    Whatever the device wrote, it is one line of at most 255 characters that leaves the text around it alone.
    """
    value = payload.get(key)
    if not isinstance(value, str):
        return None
    if len(value) > _MAX_TEXT_LENGTH or not value.isprintable():
        value = _NOT_SHOWN.sub(" ", value[:_MAX_TEXT_LENGTH])
    return value if value and not value.isspace() else None


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
