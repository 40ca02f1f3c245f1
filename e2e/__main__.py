"""Run the end-to-end tests in a real browser: python -m e2e (scripts/e2e).

The readers need network namespaces. Without them, no test runs.
"""

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack
import json
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from time import monotonic
from types import ModuleType

from playwright.async_api import Browser

from demo.home_assistant import ROOT, HomeAssistantApi, HomeAssistantProcess
from demo.setting_up import HOME, remove_unwanted_entries
from tests import measured_tables
from tests.simulators import CurrentlyOneSimulator, WhatwattSimulator

from . import network
from .home import ATTIC, CURRENTLYONE, GARAGE, PASSWORD, Home
from .readers import INTERVAL, Reader, beginning_of_the_past, make_house
from .scenarios import (
    appliances,
    dashboard,
    energy,
    network as network_changes,
    network_loss,
    power_tariff,
    reconfigure,
    removal,
    reporting,
    setting_up,
    steps_of,
)
from .user import Screen, User, browser

FOLDER = ROOT / ".e2e"
PICTURES = ROOT / "docs/pictures"
STEPS = ROOT / "docs/results/end-to-end.md"
PORT = 8123

# A load for the blueprint.
LOADS = """\
input_boolean:
  boiler:
    name: Boiler
"""

LANGUAGES = {"en": Screen.DESKTOP, "de": Screen.PHONE}

SCENARIOS = (
    setting_up,
    network_loss,
    appliances,
    reporting,
    energy,
    power_tariff,
    dashboard,
    network_changes,
    reconfigure,
    removal,
)

# Scenarios that do not depend on the language, or whose entity ids are English.
FIRST_LANGUAGE_ONLY = (dashboard, network_loss, network_changes, reporting)

# Pictures of the README and the documentation that show dialogs. scripts/pictures takes the others.
SHOWN = ("grid", "enable_debug_logging", "disable_debug_logging", "download_diagnostics")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/e2e", description=__doc__)
    parser.add_argument("--browser", required=True, help="a Chromium")
    parser.add_argument("--language", action="append", choices=LANGUAGES, help="default: both")
    parser.add_argument(
        "--pictures",
        action="store_true",
        help=f"renew {STEPS.relative_to(ROOT)}, and the pictures in {PICTURES.relative_to(ROOT)}",
    )
    return parser.parse_args()


def archive_of_release() -> Path:
    """Return the archive of the version that the manifest has."""
    manifest = json.loads((ROOT / "custom_components/energy_sse/manifest.json").read_text())
    command = [sys.executable, str(ROOT / "scripts/release"), manifest["version"], "--folder", str(FOLDER)]
    subprocess.run(command, check=True, capture_output=True)
    return FOLDER / "energy_sse.zip"


async def run_language(
    chromium: Browser, bridge: network.Bridge, language: str, scenarios: Iterable[ModuleType]
) -> User:
    """Run the tests in one language, in a new Home Assistant."""
    folder = FOLDER / language
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    first_hour = beginning_of_the_past()
    readers = (
        whatwatt := Reader(
            bridge.add_host(),
            WhatwattSimulator(
                make_house(first_hour, 1, has_appliances=True), password=PASSWORD, interval=INTERVAL
            ),
        ),
        currentlyone := Reader(
            bridge.add_host(),
            CurrentlyOneSimulator(
                make_house(first_hour, 2, has_appliances=True, has_panels=False),
                name=CURRENTLYONE,
                interval=INTERVAL,
            ),
        ),
        attic := Reader(
            bridge.add_host(),
            WhatwattSimulator(
                make_house(first_hour, 3), device_id="ECC9FF000003", name=ATTIC, interval=INTERVAL
            ),
            port=8080,
        ),
        garage := Reader(
            bridge.add_host(),
            CurrentlyOneSimulator(
                make_house(first_hour, 4),
                device_id="040000000004",
                name=GARAGE,
                has_inventory=False,
                interval=INTERVAL,
            ),
        ),
    )
    async with AsyncExitStack() as stack:
        for reader in readers:
            await reader.simulate_past()
            stack.push_async_callback(reader.leave)
            await reader.plug_in(is_announced=reader in (whatwatt, currentlyone))
        process = HomeAssistantProcess(
            folder / "config", address="127.0.0.1", port=PORT, archive=archive_of_release()
        )
        process.configuration += LOADS
        shutil.copytree(ROOT / "blueprints", process.folder / "blueprints")
        stack.push_async_callback(process.stop)
        began = monotonic()
        await process.start()
        api = await stack.enter_async_context(HomeAssistantApi(process.url))
        await api.onboard("Anna", "anna", "anna")
        await api.command("config/core/update", **HOME, language=language)
        await api.wait_running()
        await remove_unwanted_entries(api)
        print(
            f"    {monotonic() - began:5.1f} s  Home Assistant runs with what the archive holds", flush=True
        )
        user = await User.log_in(chromium, api, process.url, language, folder, screen=LANGUAGES[language])
        home = Home(
            user=user,
            api=api,
            whatwatt=whatwatt,
            currentlyone=currentlyone,
            attic=attic,
            garage=garage,
            unused_host=bridge.add_host(),
            first_hour=first_hour,
        )
        for scenario in scenarios:
            for name, step in steps_of(scenario):
                async with user.step(name):
                    await step(home)
        async with user.step("The log contains no warning or error about the integration."):
            problems = [
                line
                for line in process.log.read_text().splitlines()
                if "energy_sse" in line and (" ERROR " in line or " WARNING " in line)
            ]
            # Home Assistant logs this for each custom integration.
            assert [line for line in problems if "which has not been tested" not in line] == []
    return user


async def main() -> int:
    """Run the tests in each language."""
    arguments = parse_arguments()
    task = asyncio.current_task()
    assert task is not None
    # SIGTERM stops the browser and Home Assistant, too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if not network.is_possible():
        print("\n*** scripts/e2e: 1 skipped. Only root can make network namespaces here. ***\n", flush=True)
        return 0
    FOLDER.mkdir(exist_ok=True)
    seconds: defaultdict[str, dict[str, float]] = defaultdict(dict)
    with network.Bridge() as bridge:
        home = bridge.add_host()
        # This thread, Home Assistant and the browser use the namespace of the home.
        with home.namespace.entered():
            async with browser(arguments.browser) as chromium:
                for index, language in enumerate(arguments.language or LANGUAGES):
                    print(f"==> end to end, language {language}", flush=True)
                    scenarios = [
                        scenario
                        for scenario in SCENARIOS
                        if index == 0 or scenario not in FIRST_LANGUAGE_ONLY
                    ]
                    user = await run_language(chromium, bridge, language, scenarios)
                    for name, taken in user.steps:
                        seconds[name][language] = taken
                    total = sum(taken for _, taken in user.steps)
                    print(f"    {total:5.1f} s  {len(user.steps)} passed", flush=True)
    if arguments.pictures:
        rows = [
            (name, *(f"{by[language]:.1f}" if language in by else "" for language in LANGUAGES))
            for name, by in seconds.items()
        ]
        measured_tables.write("e2e", rows, STEPS)
        PICTURES.mkdir(exist_ok=True)
        for name in SHOWN:
            shutil.copy(FOLDER / "en" / f"{name}.png", PICTURES)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
