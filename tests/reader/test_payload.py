"""JSON as the devices write it."""

from datetime import UTC, datetime

from hypothesis import given, strategies as st
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
    "text", ["", "online", "[1,2]", "606", "null", '{"W":', '{"a":' * 5000, '{"a":' + "1" * 5000 + "x}"]
)
def test_what_is_no_object_is_none(text: str) -> None:
    assert parse_object(text) is None


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


@pytest.mark.parametrize("value", [None, "", 5, [], {}])
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
