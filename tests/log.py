"""What the integration writes into the log."""

import logging

import pytest


def said(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Return what the integration has logged in a test, of a level or a higher one.

    What others log depends on the tests before.
    """
    return [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= level and record.name.startswith("custom_components.energy_sse")
    ]
