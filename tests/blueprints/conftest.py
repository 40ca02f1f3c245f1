"""Fixtures of the tests of blueprints."""

from collections.abc import AsyncGenerator

import pytest

from ..time_machine import TimeMachine
from .home import simulated_time


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Return a folder of the test, into which blueprints are copied."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
async def time_machine(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[TimeMachine]:
    """Return the control of all clocks, before one is read."""
    with simulated_time(caplog) as time_machine:
        yield time_machine
