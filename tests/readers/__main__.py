"""Runs one simulated reader by itself: python -m tests.readers whatwatt --port 8080 --password secret."""

import argparse
import asyncio
from contextlib import suppress
from datetime import UTC, datetime
import sys

from .announce import Announcer, own_address
from .currentlyone import CurrentlyOneSimulator
from .house import House
from .server import Simulator
from .whatwatt import Firmware, WhatwattSimulator

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 (whoever hears the announcement must reach it)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.readers", description=__doc__)
    parser.add_argument("kind", choices=("whatwatt", "currentlyone"))
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between readings (default: 5)")
    parser.add_argument("--id", help="the device's id (default: one of its kind)")
    parser.add_argument("--password", help="whatwatt: ask for it")
    parser.add_argument("--firmware", help=f"whatwatt: {', '.join(Firmware)}")
    parser.add_argument("--licence", help="whatwatt: PLUS or PRO")
    parser.add_argument(
        "--day", type=float, default=86400.0, help="length of its day in seconds, for the sun"
    )
    parser.add_argument(
        "--announce", action="store_true", help="announce it by mDNS; listens on all addresses"
    )
    return parser.parse_args()


def make(arguments: argparse.Namespace) -> Simulator:
    """Return the reader that the command line asks for."""
    house = House(clock=datetime.now(UTC), day=arguments.day)
    options = {"interval": arguments.interval}
    if arguments.id:
        options["device_id"] = arguments.id
    if arguments.kind == "currentlyone":
        return CurrentlyOneSimulator(house, **options)
    return WhatwattSimulator(
        house,
        password=arguments.password,
        firmware=Firmware(arguments.firmware or Firmware.SPARSE),
        licence=arguments.licence,
        **options,
    )


async def run(arguments: argparse.Namespace) -> None:
    """Serve until interrupted."""
    reader = make(arguments)
    await reader.start(arguments.port, ALL_ADDRESSES if arguments.announce else arguments.address, live=True)
    announcer = None
    try:
        print(f"A {arguments.kind} listens on port {reader.port}; Ctrl-C stops it.", flush=True)
        if arguments.announce:
            address = own_address()
            if address is None:
                sys.exit("There is no network to announce it on.")
            announcer = Announcer(address)
            await announcer.announce(reader)
            print(f"Announced at {address}.", flush=True)
        await asyncio.Event().wait()
    finally:
        if announcer is not None:
            await announcer.close()
        await reader.stop()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(run(parse_arguments()))
