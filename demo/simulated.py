"""Three simulated readers: two are added, and the user can add the third."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self, override

from tests.simulators.server import Simulator

from . import power_tariff, solar
from .console import step
from .home_assistant import HomeAssistantApi, HomeAssistantFailedError
from .houses import ADDED_WHATWATT, CURRENTLYONE, PASSWORD, SPARE_WHATWATT, load, make_readers, save
from .scenario import Scenario
from .setting_up import entities_of, grid_source

# Seconds.
ENTITIES_TIMEOUT = 30
SAVE_INTERVAL = 10

# Unique ids of a house: import, export, net power.
GRID = tuple(
    f"{CURRENTLYONE}_{measurement}"
    for measurement in ("active_energy_import", "active_energy_export", "active_power_net")
)

# Unique ids of each appliance: energy, power.
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
            "target": {"entity_id": "event.mocca_master_state_change"},
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


class SimulatedScenario(Scenario):
    """Houses with meters that are saved in a file."""

    password = PASSWORD

    def __init__(self, simulators: list[Simulator], path: Path) -> None:
        """Set the readers, and the file."""
        super().__init__([*simulators], [ADDED_WHATWATT, CURRENTLYONE])
        self._simulators = simulators
        self._path = path

    @classmethod
    async def loaded(cls, stack: AsyncExitStack, path: Path) -> Self:
        """Restore the houses, and save them regularly."""
        step("Starting three simulated readers")
        simulators = make_readers()
        await load(path, simulators)
        scenario = cls(simulators, path)
        stack.callback(scenario._save)
        stack.callback(asyncio.create_task(scenario._keep_saving()).cancel)
        return scenario

    @override
    async def run(self, stack: AsyncExitStack, api: HomeAssistantApi) -> None:
        house = next(each.house for each in self._simulators if each.device_id == CURRENTLYONE)
        await solar.send(api, house)
        await set_up_home(api)
        stack.callback(asyncio.create_task(solar.keep_sending(api, house)).cancel)

    @override
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        where = "discovered there" if is_announced else "with Add integration, whatwatt"
        return f"""\
  Energy dashboard     {url}/energy (it shows bars after the first hour)
  Add a reader         {url}/config/integrations
                       {where}: a second whatwatt Go,
                       at {hosts[SPARE_WHATWATT]}, with the password {self.password}

A simulated day takes ten minutes. Ctrl-C stops everything. The next start continues from here."""

    def _save(self) -> None:
        save(self._path, self._simulators)

    async def _keep_saving(self) -> None:
        """Save the meters regularly, because the machine can fail."""
        while True:
            await asyncio.sleep(SAVE_INTERVAL)
            self._save()


async def set_up_home(api: HomeAssistantApi) -> None:
    """Set up the Energy dashboard and an automation once."""
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
    await power_tariff.set_up(api)
