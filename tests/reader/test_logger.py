"""Log records of unexpected errors."""

import asyncio
from collections.abc import Iterator
import logging
import re
import sys
from typing import NoReturn, override

from homeassistant.core import HomeAssistant
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
import pytest

from custom_components.energy_sse.reader import EXCEPTION_FILTER, payload
from custom_components.energy_sse.reader.connection import LOGGER as READER_LOGGER
from custom_components.energy_sse.reader.redaction import format_trace

LOGGER = logging.getLogger("custom_components.energy_sse.test")


@pytest.fixture(autouse=True)
def _filter_errors() -> Iterator[None]:
    """Add the filter to a logger, as the integration does."""
    LOGGER.addFilter(EXCEPTION_FILTER)
    yield
    LOGGER.removeFilter(EXCEPTION_FILTER)


class Payload(dict[str, str]):
    """Payload that raises an error whose text contains a name."""

    @override
    def get(self, *_args: object) -> NoReturn:
        raise LookupError("Casa Segreta")


def raise_private() -> None:
    payload.get_text(Payload(), "name")


def private_error() -> Exception:
    try:
        raise_private()
    except LookupError as error:
        return error
    raise AssertionError


async def raise_private_async() -> None:
    raise_private()


TRACE = r"LookupError at (\S+ > )*reader/payload\.py:\d+( > \S+)?"


@pytest.mark.errors
def test_error_is_logged_by_type_and_lines_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise_private()
    except LookupError:
        LOGGER.exception("Unexpected error while reading 100%s of %s", "%", "a payload")
    (record,) = caplog.records
    assert re.fullmatch(rf"Unexpected error while reading 100% of a payload: {TRACE}", record.getMessage())
    assert record.levelno == logging.ERROR
    assert "Segreta" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.errors
def test_error_is_logged_once_for_each_type_and_line(caplog: pytest.LogCaptureFixture) -> None:
    for error in (private_error(), private_error(), KeyError("a"), ValueError("b"), KeyError("c")):
        LOGGER.error("Unexpected error", exc_info=error)
    for _ in range(2):
        try:
            raise_private()
        except LookupError:
            READER_LOGGER.exception("Unexpected error in the reader layer")
    kinds = [message.partition(": ")[2].split()[0] for message in caplog.messages]
    assert kinds == ["LookupError", "KeyError", "ValueError"]


@pytest.mark.errors
def test_record_without_an_error_is_not_changed(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        LOGGER.error("The %s is offline", "reader")
        LOGGER.error("No error", exc_info=(None, None, None))
        LOGGER.error("Cancelled", exc_info=asyncio.CancelledError())
    assert caplog.messages == ["The reader is offline", "No error", "Cancelled"] * 2


@pytest.mark.errors
async def test_errors_of_a_coordinator_are_filtered(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator = DataUpdateCoordinator(
        hass, LOGGER, config_entry=None, name="reader", update_method=raise_private_async
    )
    await coordinator.async_refresh()
    assert isinstance(coordinator.last_exception, LookupError)
    assert re.search(rf"Unexpected error fetching reader data: {TRACE}\n", caplog.text)
    assert "Segreta" not in caplog.text


def test_trace_has_the_causes_of_an_error() -> None:
    error = KeyError("Segreta")
    error.__cause__ = private_error()
    assert re.fullmatch(rf"KeyError, because of {TRACE}", format_trace(error))
    hidden = KeyError("b")
    hidden.__context__, hidden.__suppress_context__ = private_error(), True
    assert format_trace(hidden) == "KeyError"


def test_trace_of_errors_that_cause_each_other_ends() -> None:
    first, second = KeyError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert format_trace(first).count("KeyError") == 3


def test_trace_has_the_last_line_of_other_packages() -> None:
    async def fail() -> None:
        async with asyncio.timeout(-1):
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(fail())
    trace = format_trace(caught.value)
    assert trace.startswith("TimeoutError at timeouts.py:")
    assert sys.prefix not in trace
