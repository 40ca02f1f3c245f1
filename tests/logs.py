"""Log records of the integration."""

import logging
from typing import Final

import pytest

OURS: Final = logging.getLogger("custom_components.energy_sse")


def logged_messages(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Return the messages that the integration has logged in a test, at a level or above.

    The messages of other loggers depend on the tests before.
    """
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= level and record.name.startswith(OURS.name)
    ]
