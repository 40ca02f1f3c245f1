"""Test integration that shows the resources of Home Assistant to the soak test.

The soak test links it into the configuration folder.
"""

import asyncio
from collections.abc import Mapping
import gc
import os
from pathlib import Path
from typing import Any

from aiohttp import web
from homeassistant.components.http import HomeAssistantView
from homeassistant.core import HomeAssistant
from homeassistant.helpers.typing import ConfigType


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Register the view."""
    hass.http.register_view(ProbeView())
    return True


class ProbeView(HomeAssistantView):
    """View that returns the present use of resources as JSON."""

    url = "/api/soak_probe"
    name = "api:soak_probe"

    async def get(self, request: web.Request) -> web.Response:
        """Return tasks, streams, timers, memory in MiB and sockets."""
        hass: HomeAssistant = request.app["hass"]
        tasks = asyncio.all_tasks()
        figures: Mapping[str, Any] = await hass.async_add_executor_job(process_figures)
        return self.json(
            {
                "tasks": len(tasks),
                "streams": sum(task.get_name() == "energy_sse stream" for task in tasks),
                "timers": sum(not handle.cancelled() for handle in hass.loop._scheduled),  # type: ignore[attr-defined] # noqa: SLF001
                **figures,
            }
        )


def process_figures() -> Mapping[str, Any]:
    """Return the used memory in MiB and the number of open sockets of this process."""
    # Objects that the garbage collector can free are not a leak.
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    links = (str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "sockets": sum(target.startswith("socket:") for target in links),
    }
