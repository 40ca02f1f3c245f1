"""Reads from the recorder's database."""

from collections.abc import Callable

from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance


async def async_read[*Ts, T](hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts) -> T:
    """Return what a function reads in a thread of the recorder.

    Home Assistant waits for this task before it stops, so that no thread reads from a closed database. Raises
    SQLAlchemyError, or RuntimeError when the recorder has stopped.
    """

    async def run() -> T:
        return await get_instance(hass).async_add_executor_job(read, hass, *args)

    return await hass.async_create_task(run(), "energy_sse database")
