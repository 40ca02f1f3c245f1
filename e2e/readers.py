"""Simulated readers, each on its own host."""

from datetime import UTC, datetime, timedelta
from typing import Final, cast

from tests.simulators import CurrentlyOneSimulator, WhatwattSimulator
from tests.simulators.announce import Announcer
from tests.simulators.household import Household

from .network import Host

# Hours of a meter before the tests. Yesterday is one whole day of them.
PAST_HOURS: Final = 50
_STEP: Final = 60.0

# Energy of the solar panels, which no reader sends.
SOLAR: Final = "solar"

# Seconds between telegrams.
INTERVAL: Final = 2.0


class Reader[R: WhatwattSimulator | CurrentlyOneSimulator]:
    """Reader on its own host."""

    def __init__(self, machine: Host, simulator: R, port: int = 80) -> None:
        """Set a reader that is not plugged in."""
        self.machine = machine
        self.simulator = simulator
        self.port = port
        self.registers: list[dict[str, float]] = []
        """kWh at the end of each hour, by the end of a unique id."""

        self._announcer: Announcer | None = None

    @property
    def host(self) -> str:
        """Address as a user enters it."""
        return str(self.machine.address) if self.port == 80 else f"{self.machine.address}:{self.port}"  # noqa: PLR2004

    async def simulate_past(self) -> None:
        """Simulate the house until now. Then its appliances stay off until a test switches them."""
        now = datetime.now(UTC)
        house = cast("Household", self.simulator.house)
        while house.clock < now:
            await self.simulator.advance(min(_STEP, (now - house.clock).total_seconds()))
            if house.clock.minute == house.clock.second == house.clock.microsecond == 0:
                self.registers.append(
                    {
                        "_active_energy_import": sum(house.active_import.values()) / 1000,
                        "_active_energy_import_t1": house.active_import[1] / 1000,
                        "_active_energy_import_t2": house.active_import[2] / 1000,
                        "_active_energy_export": sum(house.active_export.values()) / 1000,
                        "_active_energy_export_t1": house.active_export[1] / 1000,
                        "_active_energy_export_t2": house.active_export[2] / 1000,
                        SOLAR: house.solar_energy / 1000,
                        **{f":{each.id}:energy": each.energy / 1000 for each in house.appliances},
                    }
                )
        house.is_manual = True
        for appliance in house.appliances:
            await self.simulator.switch(appliance.id, "off")

    async def plug_in(self, *, is_announced: bool = True) -> None:
        """Start the reader and its announcement. The meter has counted meanwhile."""
        address = self.machine.address
        missed = datetime.now(UTC) - self.simulator.house.clock
        await self.simulator.advance(max(missed.total_seconds(), 0))
        with self.machine.namespace.entered():
            await self.simulator.start(self.port, str(address), live=True)
            self._announcer = Announcer(address) if is_announced else None
        if self._announcer is not None:
            await self._announcer.announce(self.simulator)

    async def unplug(self) -> None:
        """Disconnect the link, without an announcement of the end."""
        self.machine.unplug()
        await self.leave()

    async def leave(self) -> None:
        """Announce the end, and stop."""
        if self._announcer is not None:
            await self._announcer.close()
            self._announcer = None
        await self.simulator.stop()


def beginning_of_the_past() -> datetime:
    """Return the first simulated hour."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=PAST_HOURS)


def make_house(
    clock: datetime, seed: int, *, has_appliances: bool = False, has_panels: bool = True
) -> Household:
    """Return a house with a meter, and optional appliances and solar panels."""
    house = Household(clock=clock, seed=seed, has_appliances=has_appliances)
    if not has_panels:
        house.solar_peak = 0
    return house
