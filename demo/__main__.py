"""The main job in one command: Home Assistant with the integration and three simulated readers.

Two readers are added and stream; the third is left for you to add, as a person would.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack, suppress
import os
from pathlib import Path
import shutil
import signal
import socket
import sys
from time import monotonic
from typing import Any
import webbrowser

from tests.readers.announce import Announcer, own_address
from tests.readers.server import Simulator

from . import power_tariff, solar
from .home_assistant import ROOT, HomeAssistantApi, HomeAssistantFailedError, HomeAssistantProcess
from .houses import ADDED_WHATWATT, CURRENTLYONE, PASSWORD, SPARE_WHATWATT, load, make_readers, save

FOLDER = ROOT / ".demo"
HOME_ASSISTANT_PORT = 8123
READER_PORTS = (8181, 8182, 8183)

USERNAME = LOGIN_PASSWORD = "demo"

# Seconds. Home Assistant hears an announcement within one or two, if at all.
DISCOVERY_TIMEOUT = 20
ENTITIES_TIMEOUT = 30
SAVE_INTERVAL = 10

# Halfway between the two readers' countries, one has to be chosen.
HOME = {"country": "CH", "currency": "CHF", "time_zone": "Europe/Zurich", "unit_system": "metric"}

# What onboarding adds of itself; without the internet it is only noise.
UNWANTED_DOMAINS = frozenset({"met", "radio_browser", "google_translate", "shopping_list"})


def step(text: str) -> None:
    """Say what happens now."""
    print(f"==> {text}", flush=True)


def note(text: str) -> None:
    """Say something about it."""
    print(f"    {text}", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="forget everything of earlier runs")
    parser.add_argument(
        "--address", default="127.0.0.1", help="where Home Assistant listens (this machine only)"
    )
    parser.add_argument("--port", type=int, default=HOME_ASSISTANT_PORT, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps what it has")
    return parser.parse_args()


def free_port(wanted: int, address: str, what: str) -> int:
    """Return the port that is wanted, or another one when it is in use, and say so."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            found: int = probe.getsockname()[1]
            if port != wanted:
                note(f"Port {wanted} is in use here; {what} takes {found}.")
            return found
    raise HomeAssistantFailedError(f"{what} finds no port at {address}.")


async def run(arguments: argparse.Namespace) -> None:
    """Start everything, and stop it again when asked to."""
    began = monotonic()
    folder: Path = arguments.folder
    if arguments.fresh and folder.exists():
        step(f"Forgetting {folder}")
        shutil.rmtree(folder)
    (folder / "config").mkdir(parents=True, exist_ok=True)

    async with AsyncExitStack() as stack:
        step("Starting three simulated readers")
        readers = make_readers()
        await load(folder / "houses.json", readers)
        stack.callback(save, folder / "houses.json", readers)
        address = own_address()
        host = str(address or "127.0.0.1")
        for reader, port in zip(readers, READER_PORTS, strict=True):
            await reader.start(free_port(port, host, "a reader"), host, live=True)
            stack.push_async_callback(reader.stop)
        hosts = {reader.device_id: f"{host}:{reader.port}" for reader in readers}
        is_announced = await announce(stack, readers)

        step("Starting Home Assistant 2026.11.0 (the first time it installs what it needs: a minute or two)")
        process = HomeAssistantProcess(
            folder / "config",
            address=arguments.address,
            port=free_port(arguments.port, arguments.address, "Home Assistant"),
        )
        stack.push_async_callback(stop, process)
        await process.start(lambda seconds: note(f"{seconds:.0f} s, still starting"))
        api = await stack.enter_async_context(HomeAssistantApi(process.url))
        if await api.onboard("Demo", USERNAME, LOGIN_PASSWORD):
            step("Onboarded")
            await api.command("config/core/update", **HOME)
        else:
            await api.log_in(USERNAME, LOGIN_PASSWORD)
        await api.wait_running()
        await remove_unwanted_entries(api)
        try:
            await add_readers(api, hosts, is_announced=is_announced)
            house = next(reader.house for reader in readers if reader.device_id == CURRENTLYONE)
            await solar.tell(api, house)
            await set_up_home(api)
            telling = asyncio.create_task(solar.keep_telling(api, house))
            stack.callback(telling.cancel)
        except HomeAssistantFailedError as error:
            note(f"{error} Home Assistant runs on; its log is {process.log}.")
        step(f"Ready after {monotonic() - began:.0f} s")
        say_ready(process.url, hosts[SPARE_WHATWATT], is_announced=is_announced)
        saving = asyncio.create_task(keep_saving(folder / "houses.json", readers))
        stack.callback(saving.cancel)
        await process.wait()
        raise HomeAssistantFailedError(f"Home Assistant has ended by itself; see {process.log}.")


async def announce(stack: AsyncExitStack, readers: list[Simulator]) -> bool:
    """Announce the readers by mDNS. Returns whether there is a network to do it on."""
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


async def stop(process: HomeAssistantProcess) -> None:
    """Stop Home Assistant, and say so."""
    step("Stopping Home Assistant (it writes its database)")
    await process.stop()


async def remove_unwanted_entries(api: HomeAssistantApi) -> None:
    """Remove what onboarding adds of itself."""
    for entry in await api.command("config_entries/get"):
        if entry["domain"] in UNWANTED_DOMAINS:
            await api.delete(f"/api/config/config_entries/entry/{entry['entry_id']}")


async def add_readers(api: HomeAssistantApi, hosts: dict[str, str], *, is_announced: bool) -> None:
    """Add two readers through the config flow, as discovered, or else by their address."""
    for device_id in (ADDED_WHATWATT, CURRENTLYONE):
        entries = await api.command("config_entries/get", domain="energy_sse")
        if len(entries) == 2:  # noqa: PLR2004 (both)
            return
        step(f"Adding the reader {device_id}")
        flow = await discovered_flow(api, device_id) if is_announced else None
        if flow is None:
            note("It was not discovered, so it is added by its address.")
            flow = await api.post("/api/config/config_entries/flow", {"handler": "energy_sse"})
            flow = await submit(api, flow, host=hosts[device_id])
        else:
            note("Home Assistant has discovered it.")
        if flow["type"] == "form" and flow["step_id"] == "password":
            flow = await submit(api, flow, password=PASSWORD)
        elif flow["type"] == "form":
            flow = await submit(api, flow)
        if flow["type"] == "abort" and flow["reason"] == "already_configured":
            continue
        if flow["type"] != "create_entry":
            raise HomeAssistantFailedError(f"The reader {device_id} could not be added ({flow['type']}).")


async def submit(api: HomeAssistantApi, flow: dict[str, Any], **fields: str) -> dict[str, Any]:
    """Submit a dialog."""
    result: dict[str, Any] = await api.post(f"/api/config/config_entries/flow/{flow['flow_id']}", fields)
    if result.get("errors"):
        raise HomeAssistantFailedError(
            f"A reader could not be added ({', '.join(result['errors'].values())})."
        )
    return result


async def discovered_flow(api: HomeAssistantApi, device_id: str) -> dict[str, Any] | None:
    """Return the dialog of a discovered reader, or None when it is not discovered in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCOVERY_TIMEOUT):
            while True:
                for progress in await api.command("config_entries/flow/progress"):
                    if progress["context"].get("unique_id") == device_id:
                        flow: dict[str, Any] = await api.get(
                            f"/api/config/config_entries/flow/{progress['flow_id']}"
                        )
                        return flow
                await asyncio.sleep(0.2)
    return None


async def set_up_home(api: HomeAssistantApi) -> None:
    """Set the Energy dashboard and one automation up, unless somebody has already."""
    with suppress(HomeAssistantFailedError):
        if (await api.command("energy/get_prefs"))["energy_sources"]:
            return
    step("Setting up the Energy dashboard, and an automation on a transition")
    async with asyncio.timeout(ENTITIES_TIMEOUT):
        entities = await entities_of(api)
        while not entities.keys() >= {*GRID, *(entity for device in DEVICES for entity in device)}:
            await asyncio.sleep(0.5)
            entities = await entities_of(api)
    await api.command(
        "energy/save_prefs",
        energy_sources=[grid_source(*(entities[unique_id] for unique_id in GRID)), solar.SOURCE],
        device_consumption=[
            {"stat_consumption": entities[energy], "stat_rate": entities[power]} for energy, power in DEVICES
        ],
    )
    await api.post("/api/config/automation/config/demo_coffee", COFFEE_AUTOMATION)
    await power_tariff.set_up(api, entities)


# One house: what it uses is what its meter and its roof give. By unique id: import, export, signed power.
GRID = tuple(
    f"{CURRENTLYONE}_{measurement}"
    for measurement in ("active_energy_import", "active_energy_export", "active_power_net")
)

# Of each appliance: energy, power.
DEVICES = tuple(
    tuple(f"{CURRENTLYONE}:{appliance}:{key}" for key in ("energy", "power"))
    for appliance in ("mocca_mast", "dishwasher", "heat_pump")
)

COFFEE_AUTOMATION = {
    "alias": "Coffee is coming",
    "description": "Reacts to a transition of an appliance.",
    "mode": "single",
    "triggers": [
        {
            "trigger": "event.received",
            "target": {"entity_id": "event.mocca_master_transition"},
            "options": {"event_type": ["turned_on"]},
        }
    ],
    "conditions": [],
    "actions": [
        {
            "action": "persistent_notification.create",
            "data": {
                "title": "Coffee is coming",
                "message": "The Mocca Master was turned on.",
                "notification_id": "coffee",
            },
        }
    ],
}


async def entities_of(api: HomeAssistantApi) -> dict[str, str]:
    """Return the integration's entities by unique id."""
    return {
        entity["unique_id"]: entity["entity_id"]
        for entity in await api.command("config/entity_registry/list")
        if entity["platform"] == "energy_sse"
    }


def grid_source(energy_from: str, energy_to: str, power: str | None = None) -> dict[str, Any]:
    """Return a grid connection as the Energy dashboard's settings save it."""
    source = {
        "type": "grid",
        "stat_energy_from": energy_from,
        "stat_energy_to": energy_to,
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
        "stat_compensation": None,
        "entity_energy_price_export": None,
        "number_energy_price_export": None,
        "cost_adjustment_day": 0,
    }
    return source if power is None else {**source, "power_config": {"stat_rate": power}}


async def keep_saving(path: Path, readers: list[Simulator]) -> None:
    """Save the meters from time to time, in case the machine goes down."""
    while True:
        await asyncio.sleep(SAVE_INTERVAL)
        save(path, readers)


def say_ready(url: str, spare_host: str, *, is_announced: bool) -> None:
    """Say what there is, and how to get at it."""
    where = "discovered there" if is_announced else "with Add integration, whatwatt"
    print(
        f"""
Home Assistant runs at {url} (user {USERNAME}, password {LOGIN_PASSWORD}).

  Devices and states   {url}/config/integrations/integration/energy_sse
  Energy dashboard     {url}/energy (its first bars come after a full hour)
  Add a reader         {url}/config/integrations
                       {where}: a second whatwatt Go,
                       at {spare_host}, with the password {PASSWORD}

The houses' days last ten minutes. Ctrl-C stops everything; the next start goes on from here.
""",
        flush=True,
    )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        note("There is no display here, so no browser was opened.")
    elif sys.stdout.isatty():
        webbrowser.open(url)


async def main() -> int:
    """Run until Ctrl-C or a fault."""
    task = asyncio.create_task(run(parse_arguments()))

    def stop_once() -> None:
        # A second Ctrl-C must not end the stopping, which would leave Home Assistant behind.
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
