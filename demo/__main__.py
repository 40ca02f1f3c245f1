"""Home Assistant with the integration and three simulated readers.

Two readers are added, and you can add the third. With --replay, a second Home Assistant has the readers of
recordings instead (debug logs, or downloaded diagnostics).
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
import os
from pathlib import Path
import shutil
import signal
import sys
from time import monotonic
import webbrowser

from tests.simulators.__main__ import add_replay_options, port
from tests.simulators.announce import Announcer, own_address
from tests.simulators.recordings import Recording, RecordingError, read_all
from tests.simulators.server import Server

from .console import note, step
from .home_assistant import ROOT, HomeAssistantApi, HomeAssistantFailedError, HomeAssistantProcess, free_port
from .replayed import ReplayedScenario
from .scenario import Scenario
from .setting_up import add_reader, log_in, remove_unwanted_entries
from .simulated import SimulatedScenario, delete_incomplete, is_incomplete

FOLDER = ROOT / ".demo"
HOME_ASSISTANT_PORT = 8123
FIRST_READER_PORT = 8181

USERNAME = LOGIN_PASSWORD = "demo"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fresh", action="store_true", help="delete the data of earlier runs")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="a day lasts ten minutes; the data of earlier fast runs is deleted",
    )
    parser.add_argument(
        "--address", default="127.0.0.1", help="address of Home Assistant (default: this machine only)"
    )
    parser.add_argument("--port", type=port, default=HOME_ASSISTANT_PORT, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder for all data")
    parser.add_argument(
        "--replay",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="replay recordings; the data of earlier replays is deleted",
    )
    add_replay_options(parser)
    return parser.parse_args()


async def run(arguments: argparse.Namespace, recordings: list[Recording]) -> None:
    """Start everything, and stop it when the task is canceled."""
    began = monotonic()
    # A second replay begins with lower registers than the first one ended with, as a meter replacement does.
    # A fast house cannot continue either, because its clock is not the real time.
    without_earlier_data = bool(recordings or arguments.fast or arguments.fresh)
    folder: Path = arguments.folder / ("replay" if recordings else "fast" if arguments.fast else "")
    if folder.exists() and without_earlier_data:
        step(f"Deleting {folder}")
        shutil.rmtree(folder)
    elif is_incomplete(folder):
        step("Deleting the data of an earlier start, which was interrupted")
        delete_incomplete(folder)
    (folder / "config").mkdir(parents=True, exist_ok=True)

    async with AsyncExitStack() as stack:
        scenario: Scenario
        if recordings:
            scenario = ReplayedScenario(recordings, speed=arguments.speed, loop=arguments.loop)
        else:
            scenario = await SimulatedScenario.with_past(folder, is_fast=arguments.fast)
        hosts = await start(stack, scenario.readers)
        is_announced = await announce(stack, scenario.readers)
        process = await start_home_assistant(stack, folder, arguments.address, arguments.port)
        api = await open_api(stack, process.url)
        try:
            await add_readers(api, scenario, hosts, is_announced=is_announced)
            await scenario.run(stack, api)
        except HomeAssistantFailedError as error:
            note(f"{error} Home Assistant runs on; its log is {process.log}.")
        step(f"Ready after {monotonic() - began:.0f} s")
        print_guide(process.url, scenario.guide(process.url, hosts, is_announced=is_announced))
        await process.wait()
        raise HomeAssistantFailedError(f"Home Assistant has ended by itself; see {process.log}.")


async def start(stack: AsyncExitStack, readers: list[Server]) -> dict[str, str]:
    """Start readers. Return their addresses by id."""
    address = str(own_address() or "127.0.0.1")
    for number, reader in enumerate(readers):
        await reader.start(free_port(FIRST_READER_PORT + number, address, "a reader"), address, live=True)
        stack.push_async_callback(reader.stop)
    return {reader.device_id: f"{address}:{reader.port}" for reader in readers}


async def announce(stack: AsyncExitStack, readers: list[Server]) -> bool:
    """Announce the readers by mDNS. Return whether that is possible."""
    address = own_address()
    if address is None:
        note("This machine has no network, so nothing can be discovered by mDNS.")
        return False
    try:
        announcer = Announcer(address)
        stack.push_async_callback(announcer.close)
        await asyncio.gather(*(announcer.announce(reader) for reader in readers))
    except OSError as error:
        note(f"mDNS does not work here ({error.strerror}), so nothing can be discovered.")
        return False
    return True


async def start_home_assistant(
    stack: AsyncExitStack, folder: Path, address: str, preferred_port: int
) -> HomeAssistantProcess:
    """Start Home Assistant, and stop it with the stack. Take another port if it is in use."""
    step("Starting Home Assistant 2026.11.0 (the first time it installs what it needs: a minute or two)")
    process = HomeAssistantProcess(
        folder / "config", address=address, port=free_port(preferred_port, address, "Home Assistant")
    )
    stack.push_async_callback(stop, process)
    await process.start(lambda seconds: note(f"{seconds:.0f} s, still starting"))
    return process


async def open_api(stack: AsyncExitStack, url: str) -> HomeAssistantApi:
    """Log in, and wait until Home Assistant has started."""
    api = await stack.enter_async_context(HomeAssistantApi(url))
    await log_in(api, USERNAME, LOGIN_PASSWORD)
    await api.wait_running()
    await remove_unwanted_entries(api)
    return api


async def stop(process: HomeAssistantProcess) -> None:
    """Stop Home Assistant."""
    step("Stopping Home Assistant (it writes its database)")
    await process.stop()


async def add_readers(
    api: HomeAssistantApi, scenario: Scenario, hosts: dict[str, str], *, is_announced: bool
) -> None:
    """Add the readers of the scenario that have no entry."""
    for device_id in scenario.added:
        entries = await api.command("config_entries/get", domain="energy_sse")
        if len(entries) < len(scenario.added):
            host = hosts[device_id]
            await add_reader(api, device_id, host, scenario.password, is_announced=is_announced)


def print_guide(url: str, guide: str) -> None:
    """Print the addresses, and open a browser."""
    print(
        f"""
Home Assistant runs at {url} (user {USERNAME}, password {LOGIN_PASSWORD}).

{guide}
""",
        flush=True,
    )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        note("There is no display here, so no browser was opened.")
    elif sys.stdout.isatty():
        webbrowser.open(url)


async def main() -> int:
    """Run until Ctrl-C or an error. Return 1 after an error, and 2 for a file that is not a recording."""
    arguments = parse_arguments()
    try:
        recordings = read_all(arguments.replay)
    except RecordingError as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 2
    task = asyncio.create_task(run(arguments, recordings))

    def stop_once() -> None:
        # A second Ctrl-C must not interrupt this, because Home Assistant would not be stopped.
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop_once)
    try:
        await task
    except asyncio.CancelledError:
        print("Stopped.", flush=True)
    except HomeAssistantFailedError as error:
        print(f"\nscripts/demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
