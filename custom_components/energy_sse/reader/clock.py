"""Clock of all waits, timeouts and ages."""

import asyncio


def now() -> float:
    """Return the seconds of the event loop's clock, which only goes forward.

    The tests move that clock, and all waits with it.
    """
    return asyncio.get_running_loop().time()
