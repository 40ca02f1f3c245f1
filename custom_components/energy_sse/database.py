"""Reads from the recorder's database, and waits for the recorder."""

import asyncio
from collections.abc import Callable

from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util


async def async_read[*Ts, T](hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts) -> T:
    """Return what a function reads in a thread of the recorder.

    Home Assistant waits for this task before it stops, so that no thread reads from a closed database. Raises
    SQLAlchemyError, or RuntimeError when the recorder has stopped.
    """

    async def run() -> T:
        return await get_instance(hass).async_add_executor_job(read, hass, *args)

    return await hass.async_create_task(run(), "energy_sse database")


async def async_is_idle(hass: HomeAssistant, statistic_id: str, unit: str, seconds: float) -> bool:
    """Return whether the recorder has done, within some seconds, all that it was given.

    A recorder that is locked does it later. Sums must not be adjusted again meanwhile.
    """
    instance = get_instance(hass)
    # It changes nothing: the recorder is only waited for while its queue is not empty.
    instance.async_adjust_statistics(statistic_id, dt_util.utcnow(), 0.0, unit)
    try:
        async with asyncio.timeout(seconds):
            await instance.async_block_till_done()
    except TimeoutError:
        return False
    return True
