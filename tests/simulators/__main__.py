"""Run simulated readers, or replay recordings.

python -m tests.simulators whatwatt --port 8080 --password secret
python -m tests.simulators replay home-assistant.log
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
import math
from pathlib import Path
import sys

from . import SIMULATORS
from .announce import Announcer, own_address
from .household import Household
from .recordings import Recording, RecordingError, read_all
from .replay import ReplayedReader
from .server import Server, Simulator

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 (announced to other machines)

# Seconds.
DAY = 86400.0

# Seconds. The last events arrive before the reader stops.
LAST_WAIT = 5


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulators",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    readers = parser.add_subparsers(dest="kind", required=True)
    for kind, simulator in SIMULATORS.items():
        add_simulator(readers.add_parser(kind, help=f"a simulated {kind}"), simulator)
    replay = readers.add_parser("replay", help="the readers of debug logs or of downloaded diagnostics")
    replay.add_argument("files", type=Path, nargs="+", metavar="file")
    add_replay_options(replay)
    replay.add_argument(
        "--port",
        type=port,
        default=8080,
        help="port of the first reader; the next readers get the next ports (default: 8080)",
    )
    replay.add_argument(
        "--quiet", action="store_true", help="do not announce readers, and listen on this machine only"
    )
    return parser.parse_args()


def add_simulator(parser: argparse.ArgumentParser, simulator: type[Simulator]) -> None:
    """Add the options of a simulated reader."""
    parser.add_argument(
        "--address", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=port, default=8080, help="default: 8080")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between readings (default: 5)")
    parser.add_argument("--id", help="id of the device (default: an id of its kind)")
    parser.add_argument(
        "--day", type=float, default=DAY, help="length of its day in seconds (default: a real day)"
    )
    parser.add_argument(
        "--announce", action="store_true", help="announce the reader by mDNS, and listen on all addresses"
    )
    simulator.add_arguments(parser)


def add_replay_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a replay."""
    parser.add_argument(
        "--speed", type=speed, default=1.0, help="speed of the replay; 2 is twice as fast (default: 1)"
    )
    parser.add_argument("--loop", action="store_true", help="start the recording again at its end")


def speed(text: str) -> float:
    """Return a speed above zero. Raises ValueError."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError("not above zero")
    return value


def port(text: str) -> int:
    """Return a port; 0 is any. Raises ValueError."""
    value = int(text)
    if value not in range(65536):
        raise ValueError("no port")
    return value


def make(arguments: argparse.Namespace) -> Server:
    """Return the simulated reader of the command line."""
    options = vars(arguments).copy()
    simulator = SIMULATORS[options.pop("kind")]
    now = datetime.now(UTC)
    house = Household(clock=now, fast_since=now, speed=DAY / options.pop("day"))
    for option in ("address", "port", "announce"):
        del options[option]
    if (device_id := options.pop("id")) is not None:
        options["device_id"] = device_id
    return simulator(house, **options)


async def run(arguments: argparse.Namespace) -> None:
    """Serve until interrupted."""
    async with AsyncExitStack() as stack:
        address = ALL_ADDRESSES if arguments.announce else arguments.address
        await serve(stack, make(arguments), arguments.port, address, is_announced=arguments.announce)
        await asyncio.Event().wait()


async def replay(recordings: list[Recording], arguments: argparse.Namespace) -> None:
    """Replay recordings at the same time, until the last one has ended."""
    async with AsyncExitStack() as stack:
        readers = [ReplayedReader(each, speed=arguments.speed, loop=arguments.loop) for each in recordings]
        for number, reader in enumerate(readers):
            wanted = arguments.port + number if arguments.port else 0
            address = "127.0.0.1" if arguments.quiet else ALL_ADDRESSES
            await serve(stack, reader, wanted, address, is_announced=not arguments.quiet)
            print(*reader.recording.description, sep="\n", flush=True)
        await asyncio.gather(*(reader.has_ended.wait() for reader in readers))
        print("The recording has ended.", flush=True)
        await asyncio.sleep(LAST_WAIT)


async def serve(
    stack: AsyncExitStack, reader: Server, wanted_port: int, address: str, *, is_announced: bool
) -> None:
    """Start a reader, and announce it."""
    await reader.start(wanted_port, address, live=True)
    stack.push_async_callback(reader.stop)
    print(f"A {reader.kind} listens on port {reader.port}; Ctrl-C stops it.", flush=True)
    if is_announced:
        own = own_address()
        if own is None:
            print("No network to announce the reader on. Add it by its address.", flush=True)
            return
        announcer = Announcer(own)
        stack.push_async_callback(announcer.close)
        await announcer.announce(reader)
        print(f"Announced at {own}.", flush=True)


def main() -> int:
    """Run until interrupted. Return 2 for a file without a recording, and 1 if a port is in use."""
    arguments = parse_arguments()
    try:
        if arguments.kind == "replay":
            asyncio.run(replay(read_all(arguments.files), arguments))
        else:
            asyncio.run(run(arguments))
    except KeyboardInterrupt:
        pass
    except (RecordingError, OSError) as error:
        print(error.strerror if isinstance(error, OSError) else error, file=sys.stderr)
        return 1 if isinstance(error, OSError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
