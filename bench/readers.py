"""Simulated readers by the dozen, in one process: python -m bench.readers COUNT FIRST INTERVAL.

Says where they listen and runs until its input is closed; then says when the first one sent what.
"""

import asyncio
from datetime import UTC, datetime
import itertools
import json
import sys
from time import monotonic
from typing import override

from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.simulators.server import Simulator


class StampedWhatwatt(WhatwattSimulator):
    """Notes when it sends; each reading has its own voltage on L1, by which it is known again."""

    def __init__(self, house: House, **options: float | str) -> None:
        """Prepare with nothing sent."""
        super().__init__(house, **options)  # type: ignore[arg-type] # they are passed on
        self.sent: dict[float, float] = {}
        # In steps of the meter's own resolution.
        self._voltages = itertools.count(2000)

    @override
    async def send_reading(self) -> None:
        voltage = self.house.voltage[0] = next(self._voltages) / 10
        self.sent[voltage] = monotonic()
        await super().send_reading()


def make(number: int, interval: float) -> Simulator:
    """Return a reader: a whatwatt for an even number, a CurrentlyOne for an odd one."""
    house = House(clock=datetime.now(UTC), seed=number)
    if number % 2:
        return CurrentlyOneSimulator(house, device_id=f"{number:012x}", interval=interval)
    kind = WhatwattSimulator if number else StampedWhatwatt
    return kind(house, device_id=f"ECC9FF{number:06X}", interval=interval)


async def run(count: int, first: int, interval: float) -> None:
    """Serve until the input ends."""
    made = [make(first + number, interval) for number in range(count)]
    for reader in made:
        await reader.start(live=True)
        # Not in step, as meters in different houses are not.
        await asyncio.sleep(interval / count)
    print(json.dumps([reader.host for reader in made]), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    sent = next((reader.sent for reader in made if isinstance(reader, StampedWhatwatt)), {})
    for reader in made:
        await reader.stop()
    print(json.dumps(sent), flush=True)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
