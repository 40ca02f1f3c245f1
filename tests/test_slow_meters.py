"""Availability of the values of meters that send rarely."""

from collections.abc import AsyncGenerator

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from .simulators import CurrentlyOneSimulator, Simulator
from .test_update_interval import Home
from .wait import wait_until

INTERVALS = [310, 900, 3600]

# Seconds between two pings of a CurrentlyOne.
PING = 30


@pytest.fixture
async def home(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, any_reader: Simulator
) -> AsyncGenerator[Home]:
    """Return a reader in simulated time."""
    home = Home(hass, freezer, any_reader)
    home.entry.add_to_hass(hass)
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)


async def wait_for_reading(home: Home, interval: int, *, shows_value: bool) -> None:
    """Let an interval pass, and send a reading. The value has to be shown all the time, if that is wanted."""
    for _ in range(interval // PING):
        await home.advance(PING)
        if isinstance(home.reader, CurrentlyOneSimulator):
            await home.reader.broadcast(b'event: ping\r\ndata: {"sec":1}\r\n\r\n')
        if shows_value:
            assert home.shown() == home.value
    await home.advance(interval % PING)
    await wait_until(lambda: home.reader.streams)
    await home.send()


@pytest.mark.parametrize("interval", INTERVALS)
async def test_value_of_a_slow_meter_stays_available(home: Home, interval: int) -> None:
    # A whatwatt sends its interval.
    home.reader.interval = interval
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until(lambda: home.reader.streams)
    await home.send()
    for n in range(5):
        # The first gap can be an outage.
        await wait_for_reading(home, interval, shows_value=n >= 2)
