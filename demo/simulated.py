"""Three simulated readers: two are added, and the user can add the third."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
import shutil
from typing import Final, Self, cast, override
from zoneinfo import ZoneInfo

from tests.simulators.house import ZURICH
from tests.simulators.household import Household, Run

from . import automations, dashboard, past_states, power_tariff, solar
from .console import step
from .home_assistant import HomeAssistantApi
from .houses import (
    ANNEX,
    CASA_MIA,
    GAS_METER,
    PASSWORD,
    SPARE_WHATWATT,
    beginning_of_the_past,
    make_readers,
)
from .past import Past
from .scenario import Scenario
from .setting_up import (
    entities_of,
    gas_source,
    grid_source,
    set_options,
    set_up_areas,
    wait_for_entities,
)

# Unique ids of the house: import, export, net power.
GRID: Final = tuple(
    f"{CASA_MIA}_{measurement}"
    for measurement in ("active_energy_import", "active_energy_export", "active_power_net")
)

GAS: Final = f"{ANNEX}:counter:{GAS_METER}"

# Files and folders in the folder of the demo.
_CONFIG: Final = "config"
_BEGIN: Final = "begin.json"
_COMPLETE: Final = "complete"

AREAS: Final = {
    "Kitchen": (
        "mdi:silverware-fork-knife",
        [f"{CASA_MIA}:{each}" for each in ("mocca_mast", "stove", "dishwasher")],
    ),
    "Laundry room": ("mdi:washing-machine", [f"{CASA_MIA}:washing_machine"]),
    "Basement": ("mdi:home-floor-b", [f"{CASA_MIA}:heat_pump", CASA_MIA]),
    "Garage": ("mdi:garage", [f"{CASA_MIA}:car"]),
    "Annex": ("mdi:home-group", [ANNEX, f"{ANNEX}:counter:{GAS_METER}"]),
}


class SimulatedScenario(Scenario):
    """Houses with a past, whose beginning is saved in a file."""

    password = PASSWORD

    def __init__(self, pasts: list[Past], folder: Path, *, is_fast: bool) -> None:
        """Set the readers with their past, and the folder of the demo."""
        super().__init__([past.reader for past in pasts], [CASA_MIA, ANNEX])
        self._pasts = {past.reader.device_id: past for past in pasts}
        self._folder = folder
        self._is_fast = is_fast

    @classmethod
    async def with_past(cls, folder: Path, *, is_fast: bool, zone: ZoneInfo = ZURICH) -> Self:
        """Simulate the houses in a time zone until now."""
        step("Simulating three houses")
        readers = make_readers(beginning_of_the_past(folder / _BEGIN, zone), is_fast=is_fast, zone=zone)
        pasts = [Past(reader) for reader in readers]
        for past in pasts:
            await past.run_until(datetime.now(UTC))
        return cls(pasts, folder, is_fast=is_fast)

    @property
    def _casa_mia(self) -> Household:
        return cast("Household", self._pasts[CASA_MIA].reader.house)

    @override
    async def run(self, stack: AsyncExitStack, api: HomeAssistantApi) -> None:
        await solar.send(api, self._casa_mia)
        stack.callback(asyncio.create_task(solar.keep_sending(api, self._casa_mia)).cancel)
        if not (self._folder / _COMPLETE).exists():
            await self._set_up(api)
            entities = await entities_of(api) | {each: each for each in (solar.ENERGY, solar.POWER)}
            await self._import_totals(api, entities)
            database = self._folder / _CONFIG / "home-assistant_v2.db"
            await asyncio.to_thread(past_states.insert, database, list(self._states(entities)))
            # This takes longer, and no page needs it at once. So it continues in the background.
            stack.callback(asyncio.create_task(self._complete(api, entities)).cancel)

    async def _set_up(self, api: HomeAssistantApi) -> None:
        """Set up options, the power tariff, areas, automations and dashboards."""
        step("Setting up the power tariff, areas, automations and dashboards")
        entries = await api.command("config_entries/get", domain="energy_sse")
        casa_mia, annex = (
            next(each["entry_id"] for each in entries if each["title"] == title)
            for title in ("Casa Mia", "Annex")
        )
        await wait_for_entities(api, [*GRID, GAS, *self._energies()])
        await set_options(api, annex, "sub_meters", {GAS_METER: "gas"})
        await set_options(api, casa_mia, "supply", {"main_fuse": 25, "phases": "3"})
        past = self._pasts[CASA_MIA]
        await power_tariff.add_past(api, casa_mia, self._folder / _CONFIG / ".storage", past.hours(GRID[0]))
        await power_tariff.set_up(api, casa_mia)
        await set_up_areas(api, AREAS)
        entities = await entities_of(api)
        await automations.set_up(api, self._folder / _CONFIG, entities, is_fast=self._is_fast)
        await dashboard.set_up(api)
        grid = grid_source(*(entities[unique_id] for unique_id in GRID))
        await api.command(
            "energy/save_prefs",
            energy_sources=[grid, solar.SOURCE, gas_source(entities[GAS])],
            device_consumption=[
                {"stat_consumption": entities[energy], "stat_rate": entities[power]}
                for energy, power in self._energies().items()
            ],
        )

    def _states(self, entities: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
        """Yield the entity id, the state and the timestamp of the runs and powers of Casa Mia."""
        for appliance in self._casa_mia.appliances:
            running = entities[f"{CASA_MIA}:{appliance.id}:running"]
            for state, timestamp in past_states.runs(self._casa_mia, appliance.id):
                yield running, state, timestamp
        for phase in ("", "_l1", "_l2", "_l3"):
            key = f"{CASA_MIA}_active_power_net{phase}"
            for state, timestamp in self._pasts[CASA_MIA].last_powers(key):
                yield entities[key], state, timestamp

    async def _import_totals(self, api: HomeAssistantApi, entities: Mapping[str, str]) -> None:
        step("Importing 60 days into the statistics")
        for device_id in self.added:
            await self._pasts[device_id].import_totals(api, entities)

    async def _complete(self, api: HomeAssistantApi, entities: Mapping[str, str]) -> None:
        """Import the means, and note that the past is complete."""
        # The unique id of a sensor of a power tariff contains the id of the subentry.
        by_key = {key.split("_", 2)[-1]: entity_id for key, entity_id in entities.items()}
        await self._pasts[CASA_MIA].import_demand(
            api, by_key["demand"], by_key["demand_limit"], by_key["peak_demand"]
        )
        for device_id in self.added:
            await self._pasts[device_id].import_means(api, entities)
        (self._folder / _COMPLETE).touch()

    def _energies(self) -> dict[str, str]:
        """Return the unique ids of the energies of the appliances, and of their powers."""
        ids = [f"{CASA_MIA}:{appliance.id}" for appliance in self._casa_mia.appliances]
        return {f"{id_}:energy": f"{id_}:power" for id_ in ids}

    @override
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        where = "discovered" if is_announced else "select Add integration, and search for whatwatt"
        pages = {
            dashboard.PATH: "power, phases, power tariff and appliances on one page",
            "energy": "60 days of solar power, grid, gas and appliances; the tab Now shows the power",
            "config/integrations/integration/energy_sse": "phases, main fuse, appliances, power tariff",
            "config/automation/dashboard": "one for the coffee machine, and two from a blueprint",
            "config/integrations/dashboard": f"a second whatwatt Go to add ({where},"
            f" {hosts[SPARE_WHATWATT]}, password {self.password})",
        }
        lines = [f"  {url}/{page}: {what}" for page, what in pages.items()]
        ending = "" if self._is_fast else " The next start continues from here."
        return "\n".join(
            [
                "Pages to open first:",
                *lines,
                "",
                self._what_happens(),
                "",
                f"Ctrl-C stops everything.{ending}",
            ]
        )

    def _what_happens(self) -> str:
        """Return what the house does now, and which appliances turn on next."""
        house = self._casa_mia
        local = house.local_time(house.clock)
        on = [f"{each.name} {each.state.power} W" for each in house.appliances if each.index]
        direction = "imports" if house.net_power > 0 else "exports"
        now = [
            f"Casa Mia {direction} {abs(house.net_power):.0f} W",
            f"solar power {house.solar_power:.0f} W",
            *on,
        ]
        names = {each.id: each.name for each in house.appliances}
        runs = [
            f"{names[run.appliance]}{'' if begin.date() == local.date() else ' tomorrow'} at {begin:%H:%M}"
            for begin, run in upcoming(house, local)[:4]
        ]
        return f"It is {local:%A, %H:%M}: {', '.join(now)}.\nNext: {', '.join(runs)}."


def is_incomplete(folder: Path) -> bool:
    """Return whether an earlier start has ended before the past was imported. It cannot be continued."""
    return (folder / _CONFIG).exists() and not (folder / _COMPLETE).exists()


def delete_incomplete(folder: Path) -> None:
    """Delete what an earlier start has left, so that this one can begin again."""
    shutil.rmtree(folder / _CONFIG)
    (folder / _BEGIN).unlink(missing_ok=True)


def upcoming(house: Household, local: datetime) -> list[tuple[datetime, Run]]:
    """Return the runs of today and tomorrow after a local time, without those of the heat pump."""
    runs = [
        (datetime.combine(day, time(), local.tzinfo) + timedelta(minutes=run.begin), run)
        for day in (local.date(), local.date() + timedelta(days=1))
        for run in house.runs(day)
        if run.appliance != "heat_pump"
    ]
    return sorted((begin, run) for begin, run in runs if begin > local)
