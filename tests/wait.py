"""Wait for conditions instead of seconds."""

import asyncio
from collections.abc import Callable


async def wait_until(condition: Callable[[], object], *, within: float = 30) -> None:
    """Wait until a condition holds. The time limit only ends a test that has failed."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (conditions have no event)
            await asyncio.sleep(0.005)
