"""Let Home Assistant install its requirements while the package registry is available.

python -m e2e.preinstall INTEGRATION...
"""

import asyncio
from pathlib import Path
import sys
import tempfile

from demo.home_assistant import HomeAssistantApi, HomeAssistantProcess, free_port


async def main() -> None:
    """Start Home Assistant once, complete the onboarding, and open a dialog of each integration."""
    print("==> Home Assistant installs what it needs (once)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        address = "127.0.0.1"
        process = HomeAssistantProcess(
            Path(folder), address=address, port=free_port(0, address, "Home Assistant")
        )
        try:
            await process.start()
            async with HomeAssistantApi(process.url) as api:
                await api.onboard("Anna", "anna", "anna")
                await api.wait_running()
                for integration in sys.argv[1:]:
                    await api.post("/api/config/config_entries/flow", {"handler": integration})
        finally:
            await process.stop()


if __name__ == "__main__":
    asyncio.run(main())
