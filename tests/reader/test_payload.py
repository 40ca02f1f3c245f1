"""Parser of the devices' JSON."""

from collections.abc import Callable
from datetime import UTC, datetime
import json
from typing import Any, Final

from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.energy_sse.reader.payload import (
    get_id,
    get_integer,
    get_number,
    get_object,
    get_text,
    get_time,
    parse_numbers,
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
def test_broken_json_is_repaired(text: str | bytes, expected: object) -> None:
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
def test_lone_surrogate_is_replaced(text: str, expected: object) -> None:
    assert parse_object(text) == expected
    orjson.dumps(parse_object(text))


@pytest.mark.parametrize(
    "text", ["", "online", "[1,2]", "606", "null", '{"W":', '{"a":' * 5000, '{"a":' + "1" * 5000 + "x}"]
)
def test_other_text_is_not_an_object(text: str) -> None:
    assert parse_object(text) is None


# Includes halves of characters.
TEXTS = st.text(st.characters(), max_size=5)


@given(
    st.dictionaries(
        TEXTS, TEXTS | st.lists(TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=3), max_size=3
    )
)
def test_texts_of_an_object_can_be_encoded(value: dict[str, Any]) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        orjson.dumps(parse_object(text))


@pytest.mark.parametrize("text", ['{"W":1,"Wh":5,"W":2}', '{"W":1,"Wh":5,"x":nan,"W":2}'])
def test_last_value_of_a_repeated_key_is_used(text: str) -> None:
    payload = parse_object(text)
    assert payload is not None
    assert parse_numbers(payload, {"W": "power", "Wh": "energy"}) == {"power": 2, "energy": 5}


def numbers_of(value: object) -> list[float | None]:
    """Return the number in a value, by each of the two functions that read numbers."""
    return [get_number({"x": value}, "x"), parse_numbers({"x": value}, {"x": "x"}).get("x")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((number, number) for number in (0, -5, 36.12, 30107340)),
        *(("36", 36), ("0.036", 0.036), ("-5", -5), ("+1.5", 1.5), ("001234.567", 1234.567), ("007", 7)),
        *(("   0.036", 0.036), ("36.0 ", 36.0), ("1e3", 1000.0), ("3.6E-02", 0.036)),
        # Zero has no sign.
        *(("-0.000", 0.0), ("-0", 0), (-0.0, 0.0), ("-0.0", 0.0), ("-0e5", 0.0)),
    ],
)
def test_number_is_read_in_all_forms(value: object, expected: float) -> None:
    assert [repr(number) for number in numbers_of(value)] == [repr(expected)] * 2


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, [], {}, [36], float("nan"), float("inf"), float("-inf"), 10**400, 1e300),
        *(
            "",
            " ",
            "nan",
            "inf",
            "-Infinity",
            "null",
            "None",
            "true",
            "ON",
            "-",
            "+",
            ".",
            "e5",
            "--5",
            "+-5",
        ),
        *("0,036", "1,234", "1,234.5", "1'234.5", "1 234", "1_234", "- 5", "0.036 kW", "36W", "$36", "3/6"),
        *("36.", ".5", "1.2.3", "1e", "1e5.5", "0x1F", "0b1", "1e999", "1" * 16, "1" * 5000, "9" * 300),
        *("36\n", "\t36", "\u0663\u0666", "\uff13\uff16", "\u22125", "36\x00", "2026-11-24", "11:20"),
    ],
)
def test_other_value_is_not_a_number(value: object) -> None:
    assert numbers_of(value) == [None, None]


@given(st.text() | st.from_regex(r"[-+ ]?[0-9.,eE+-]{1,30}"))
def test_number_in_a_text_is_read_like_python_or_ignored(text: str) -> None:
    number, other = numbers_of(text)
    assert number == other
    if number is not None:
        assert number == float(text)


def test_key_in_another_case_is_ignored() -> None:
    assert parse_numbers({"p_in": 1, "P_IN": 2}, {"P_In": "power"}) == {}


INVALID: Final[tuple[object, ...]] = (None, True, False, float("nan"), float("inf"), 1e300, [], {})


@pytest.mark.parametrize(
    ("getter", "value", "expected"),
    [
        *((get_integer, value, 2) for value in (2, 2.0, "2", "2.0")),
        *((get_integer, -0.0, 0), (get_integer, -1, -1)),
        *((get_integer, value, None) for value in (*INVALID, 2.5, "2.5", "two")),
        *((get_id, text, text) for text in ("20000741", "0007", "2.0")),
        *((get_id, 20000741, "20000741"), (get_id, 20000741.0, "20000741"), (get_id, 0, "0")),
        *((get_id, 18446744073709551615, "18446744073709551615"), (get_id, 10**300, "1" + "0" * 254)),
        *((get_id, value, None) for value in (*INVALID, "", " ", 7.5)),
        *((get_text, text, text) for text in (" Kaffee-Maschine №1 ☕ ", "👨\u200d👩\u200d👧")),
        (get_text, "a\tb\r\nc\u2028d\x85e", "a b  c d e"),
        (get_text, "a\x00b\x7fc\x1bd", "a b c d"),
        (get_text, "abc\u202egnp.exe\u2066\u200f", "abc gnp.exe  "),
        (get_text, "n" * 20_000, "n" * 255),
        *((get_text, value, None) for value in (*INVALID, "", " ", "\n\x1f", "\x00", " \x00\u202e", 5)),
        *((get_object, value, {}) for value in (*INVALID, "", 5)),
        *(
            (get_time, value, datetime(2025, 4, 11, 7, 48, 1, tzinfo=UTC))
            for value in (1744357681, 1744357681.0, "1744357681", "1744357681.0")
        ),
        *((get_time, value, None) for value in (*INVALID, "now", 1e14, -1e14)),
    ],
)
def test_value_is_read_in_all_forms(
    getter: Callable[[dict[str, object], str], object], value: object, expected: object
) -> None:
    assert repr(getter({"x": value}, "x")) == repr(expected)
    assert not getter({}, "x")
