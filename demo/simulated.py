"""Three simulated readers with houses behind them: two are added, the third is left for you to add."""

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


class SimulatedShow(Scenario):
    """Houses whose meters are remembered in a file."""

    password = PASSWORD

    def __init__(self, simulators: list[Simulator], path: Path) -> None:
        """Scenario simulated readers, and save them."""
        super().__init__([*simulators], [ADDED_WHATWATT, CURRENTLYONE])
        self._simulators = simulators
        self._path = path

    @classmethod
    async def loaded(cls, stack: AsyncExitStack, path: Path) -> Self:
        """Return the houses as they were saved, aged by the time since then, and go on saving them."""
        step("Starting three simulated readers")
        simulators = make_readers()
        await load(path, simulators)
        show = cls(simulators, path)
        stack.callback(show._save)
        stack.callback(asyncio.create_task(show._keep_saving()).cancel)
        return show

    @override
    async def run(self, stack: AsyncExitStack, api: HomeAssistantApi) -> None:
        house = next(each.house for each in self._simulators if each.device_id == CURRENTLYONE)
        await solar.tell(api, house)
        await set_up_home(api)
        stack.callback(asyncio.create_task(solar.keep_telling(api, house)).cancel)

    @override
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        where = "discovered there" if is_announced else "with Add integration, whatwatt"
        return f"""\
  Energy dashboard     {url}/energy (its first bars come after a full hour)
  Add a reader         {url}/config/integrations
                       {where}: a second whatwatt Go,
                       at {hosts[SPARE_WHATWATT]}, with the password {self.password}

The houses' days last ten minutes. Ctrl-C stops everything; the next start goes on from here."""

    def _save(self) -> None:
        save(self._path, self._simulators)

    async def _keep_saving(self) -> None:
        """Save the meters from time to time, in case the machine goes down."""
        while True:
            await asyncio.sleep(SAVE_INTERVAL)
            self._save()


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
    await power_tariff.set_up(api)
