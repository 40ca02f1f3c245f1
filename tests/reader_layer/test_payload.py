"""JSON as the devices write it."""

from datetime import UTC, datetime
import json
from typing import Any

from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.energy_sse.reader.payload import (
    get_number,
    get_object,
    get_text,
    get_time,
    parse_object,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"W":606}', {"W": 606}),
        (b'{"W":606}', {"W": 606}),
        ('{"a":[\t{"b":1}]}', {"a": [{"b": 1}]}),
        ('{"name":"a\tb\nc"}', {"name": "a\tb\nc"}),
        ('{"U1":nan,"U2":-nan,"U3":230.1}', {"U1": None, "U2": None, "U3": 230.1}),
        ('{"I":[inf, -inf ,1]}', {"I": [None, None, 1]}),
        ('{"name":"nan","W":1}', {"name": "nan", "W": 1}),
        (b'{"name":"\xff\t"}', {"name": "�\t"}),
    ],
)
def test_what_small_devices_get_wrong_is_forgiven(text: str | bytes, expected: object) -> None:
    assert parse_object(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"name":"a\ud83d"}', {"name": "a?"}),
        (r'{"a":[{"\udc00b":["\ud83dc"]}]}', {"a": [{"?b": ["?c"]}]}),
        ('{"name":"a\ud83d"}', {"name": "a?"}),
        (r'{"name":"\ud83d\udca1","U1":nan}', {"name": "💡", "U1": None}),
        (r'{"name":"\\ud83d"}', {"name": r"\ud83d"}),
    ],
)
def test_half_a_character_is_replaced_wherever_it_is(text: str, expected: object) -> None:
    assert parse_object(text) == expected
    orjson.dumps(parse_object(text))


@pytest.mark.parametrize(
    "text", ["", "online", "[1,2]", "606", "null", '{"W":', '{"a":' * 5000, '{"a":' + "1" * 5000 + "x}"]
)
def test_what_is_no_object_is_none(text: str) -> None:
    assert parse_object(text) is None


# Halves of characters among them.
TEXTS = st.text(st.characters(), max_size=5)


@given(
    st.dictionaries(
        TEXTS, TEXTS | st.lists(TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=3), max_size=3
    )
)
def test_whatever_text_is_in_an_object_utf8_can_hold_it(value: dict[str, Any]) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        orjson.dumps(parse_object(text))


@given(st.one_of(st.text(), st.binary()))
def test_nothing_raises(text: str | bytes) -> None:
    assert parse_object(text) is None or isinstance(parse_object(text), dict)


@pytest.mark.parametrize("value", [0, -5, 36.12, 30107340])
def test_number_is_returned_as_it_is(value: float) -> None:
    assert get_number({"x": value}, "x") == value
    assert type(get_number({"x": value}, "x")) is type(value)


@pytest.mark.parametrize(
    "value", [None, True, "36", [], {}, float("nan"), float("inf"), float("-inf"), 10**400, 1e300]
)
def test_what_is_no_number_is_none(value: object) -> None:
    assert get_number({"x": value}, "x") is None
    assert get_number({}, "x") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Mocca Master", "Mocca Master"),
        (" Kaffee-Maschine №1 ☕ ", " Kaffee-Maschine №1 ☕ "),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("a\tb\r\nc\u2028d\x85e", "a b  c d e"),
        ("a\x00b\x7fc\x1bd", "a b c d"),
        ("abc\u202egnp.exe\u2066\u200f", "abc gnp.exe  "),
        pytest.param("n" * 20_000, "n" * 255, id="20,000 characters"),
    ],
)
def test_text_is_one_line_that_a_state_can_hold(value: str, expected: str) -> None:
    assert get_text({"x": value}, "x") == expected


@pytest.mark.parametrize("value", [None, "", " ", "\n\x1f", "\x00", " \x00\u202e", 5, [], {}])
def test_what_is_no_text_is_none(value: object) -> None:
    assert get_text({"x": value}, "x") is None


@pytest.mark.parametrize("value", [None, "", 5, []])
def test_what_is_no_object_is_empty(value: object) -> None:
    assert get_object({"x": value}, "x") == {}


def test_time_is_seconds_since_1970() -> None:
    assert get_time({"sec": 1744357681}, "sec") == datetime(2025, 4, 11, 7, 48, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "now", 1e14, -1e14])
def test_what_is_no_time_is_none(value: object) -> None:
    assert get_time({"sec": value}, "sec") is None
