"""JSON as the devices write it."""

from datetime import UTC, datetime
import json
from typing import Any

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


@pytest.mark.parametrize("text", ['{"W":1,"Wh":5,"W":2}', '{"W":1,"Wh":5,"x":nan,"W":2}'])
def test_last_value_of_a_repeated_key_counts(text: str) -> None:
    payload = parse_object(text)
    assert payload is not None
    assert parse_numbers(payload, {"W": "power", "Wh": "energy"}) == {"power": 2, "energy": 5}


def numbers_of(value: object) -> list[float | None]:
    """Return a value as both ways to read a number return it."""
    return [get_number({"x": value}, "x"), parse_numbers({"x": value}, {"x": "x"}).get("x")]


@pytest.mark.parametrize("value", [0, -5, 36.12, 30107340])
def test_number_is_returned_as_it_is(value: float) -> None:
    assert numbers_of(value) == [value, value]
    assert [type(number) for number in numbers_of(value)] == [type(value)] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("36", 36),
        ("0.036", 0.036),
        ("-5", -5),
        ("+1.5", 1.5),
        ("001234.567", 1234.567),
        ("007", 7),
        ("   0.036", 0.036),
        ("36.0 ", 36.0),
        ("1e3", 1000.0),
        ("3.6E-02", 0.036),
        ("-0.000", 0.0),
        ("-0", 0),
    ],
)
def test_number_that_is_written_as_a_text_is_read(text: str, expected: float) -> None:
    assert numbers_of(text) == [expected, expected]
    assert [repr(number) for number in numbers_of(text)] == [repr(expected)] * 2


@pytest.mark.parametrize("value", [-0.0, "-0.0", "-0e5"])
def test_zero_has_no_sign(value: object) -> None:
    assert [str(number) for number in numbers_of(value)] == ["0.0", "0.0"]


@pytest.mark.parametrize(
    "value", [None, True, False, [], {}, [36], float("nan"), float("inf"), float("-inf"), 10**400, 1e300]
)
def test_what_is_no_number_is_none(value: object) -> None:
    assert numbers_of(value) == [None, None]
    assert get_number({}, "x") is None


@pytest.mark.parametrize(
    "text",
    [
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
def test_text_that_leaves_doubt_is_not_a_number(text: str) -> None:
    assert numbers_of(text) == [None, None]


@given(st.text() | st.from_regex(r"[-+ ]?[0-9.,eE+-]{1,30}"))
def test_text_is_read_as_python_reads_it_or_not_at_all(text: str) -> None:
    number, other = numbers_of(text)
    assert number == other
    if number is not None:
        assert number == float(text)


def test_key_in_another_case_is_another_key() -> None:
    assert parse_numbers({"p_in": 1, "P_IN": 2}, {"P_In": "power"}) == {}


@pytest.mark.parametrize(("value", "expected"), [(2, 2), (2.0, 2), ("2", 2), ("2.0", 2), (-0.0, 0), (-1, -1)])
def test_whole_number_is_an_integer(value: object, expected: int) -> None:
    assert repr(get_integer({"x": value}, "x")) == repr(expected)


@pytest.mark.parametrize("value", [None, True, 2.5, "2.5", "two", float("nan"), 1e300, []])
def test_what_is_not_a_whole_number_is_none(value: object) -> None:
    assert get_integer({"x": value}, "x") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20000741", "20000741"),
        ("0007", "0007"),
        ("2.0", "2.0"),
        (20000741, "20000741"),
        (20000741.0, "20000741"),
        (0, "0"),
        (18446744073709551615, "18446744073709551615"),
        pytest.param(10**300, "1" + "0" * 254, id="300 digits"),
    ],
)
def test_id_is_a_text_or_a_whole_number(value: object, expected: str) -> None:
    assert get_id({"x": value}, "x") == expected


@pytest.mark.parametrize(
    "value", [None, True, False, "", " ", 7.5, float("nan"), float("inf"), 1e300, [], {}]
)
def test_what_is_not_an_id_is_none(value: object) -> None:
    assert get_id({"x": value}, "x") is None
    assert get_id({}, "x") is None


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


@pytest.mark.parametrize("value", [1744357681.0, "1744357681", "1744357681.0"])
def test_time_is_read_in_all_forms_of_its_number(value: object) -> None:
    assert get_time({"sec": value}, "sec") == get_time({"sec": 1744357681}, "sec")


@pytest.mark.parametrize("value", [None, "now", 1e14, -1e14])
def test_what_is_no_time_is_none(value: object) -> None:
    assert get_time({"sec": value}, "sec") is None
