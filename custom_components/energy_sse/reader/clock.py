"""The one clock that waits, timeouts and freshness go by."""

import asyncio


def now() -> float:
    """Return the seconds of the event loop's clock, which only goes forward.

    Whoever moves that clock, as the tests do, moves everything that waits.
    """
    return asyncio.get_running_loop().time()
