"""What the integration writes into the log."""

import logging
from typing import Final

import pytest

OURS: Final = logging.getLogger("custom_components.energy_sse")


def logged_messages(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Return what the integration has logged in a test, of a level or a higher one.

    What others log depends on the tests before.
    """
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= level and record.name.startswith(OURS.name)
    ]
