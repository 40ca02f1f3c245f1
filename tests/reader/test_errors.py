"""What the log says of an error that nobody expected."""

import asyncio
import logging
import re
import sys

import pytest

from custom_components.energy_sse.reader import payload
from custom_components.energy_sse.reader.errors import ErrorGuard, format_trace

LOGGER = logging.getLogger("custom_components.energy_sse.test")


def fault_of_ours() -> Exception:
    """Return an error that came through a line of ours, and names somebody."""
    try:
        payload.get_text({}, {"Casa Segreta"})  # type: ignore[arg-type] # that is the fault
    except TypeError as fault:
        return fault
    raise AssertionError


@pytest.mark.errors
def test_error_is_told_by_its_type_and_place_and_never_in_its_words(caplog: pytest.LogCaptureFixture) -> None:
    every_kind = ErrorGuard(LOGGER)
    for _ in range(2):
        with every_kind.guard("hearing"):
            raise fault_of_ours()
    (record,) = caplog.records
    assert re.fullmatch(
        r"Unexpected error while hearing: TypeError at (\S+ > )*reader/payload\.py:\d+( > \S+)?",
        record.getMessage(),
    )
    assert record.exc_info is None
    assert "Segreta" not in caplog.text


def test_what_led_to_an_error_is_told_too() -> None:
    fault = KeyError("Segreta")
    fault.__cause__ = fault_of_ours()
    assert re.fullmatch(r"KeyError, because of TypeError at .*reader/payload\.py:\d+.*", format_trace(fault))


def test_errors_that_led_to_each_other_are_told_once_and_again_but_not_for_ever() -> None:
    first, second = KeyError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert format_trace(first).count("KeyError") == 3


def test_place_in_others_code_is_the_last_one() -> None:
    async def fail() -> None:
        async with asyncio.timeout(-1):
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(fail())
    told = format_trace(caught.value)
    assert told.startswith("TimeoutError at timeouts.py:")
    assert sys.prefix not in told
