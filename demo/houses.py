"""Houses and readers of the demo, which continue after a restart."""

from datetime import UTC, datetime
import json
from pathlib import Path
from typing import Any

from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.simulators.server import Simulator

PASSWORD = "watt"

# Seconds in which the sun rises and sets, and the tariff changes.
DAY = 600.0

# Seconds. A longer time since the last run counts as this one.
MAX_ABSENCE = 7 * 86400
STEP = 60.0

ADDED_WHATWATT = "ECC9FF5C7F14"
SPARE_WHATWATT = "ECC9FF8A2B30"
CURRENTLYONE = "b8b41879cf58"


# Seconds in which each appliance changes its state.
MAX_STATE = 60


def make_readers() -> list[Simulator]:
    """Return the readers of three houses."""
    now = datetime.now(UTC)
    houses = [House(clock=now, seed=seed, day=DAY) for seed in (1, 2, 3)]
    for appliance in (appliance for house in houses for appliance in house.appliances):
        appliance.durations = tuple(min(seconds, MAX_STATE) for seconds in appliance.durations)
        appliance.switch(0)
    added = WhatwattSimulator(
        houses[0], device_id=ADDED_WHATWATT, password=PASSWORD, license_type="PLUS", interval=2
    )
    added.sub_meters = {"71203344": 2713.4}
    return [
        added,
        CurrentlyOneSimulator(houses[1], device_id=CURRENTLYONE, name="Casa Mia", interval=5),
        WhatwattSimulator(houses[2], device_id=SPARE_WHATWATT, password=PASSWORD, interval=5),
    ]


def _state_of(house: House) -> dict[str, Any]:
    return {
        "clock": house.clock.isoformat(),
        "registers": {
            name: {str(tariff): value for tariff, value in getattr(house, name).items()}
            for name in ("active_import", "active_export")
        },
        "reactive": [house.reactive_import, house.reactive_export],
        "solar": house.solar_energy,
        "appliances": {appliance.id: appliance.energy for appliance in house.appliances},
    }


def save(path: Path, readers: list[Simulator]) -> None:
    """Save the meters, so that their registers never fall."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps([_state_of(reader.house) for reader in readers]))
    temporary.replace(path)


async def load(path: Path, readers: list[Simulator]) -> None:
    """Restore the meters, and simulate the houses since then."""
    if not path.exists():
        return
    for reader, state in zip(readers, json.loads(path.read_text()), strict=True):
        house = reader.house
        for name, register in state["registers"].items():
            setattr(house, name, {int(tariff): value for tariff, value in register.items()})
        house.reactive_import, house.reactive_export = state["reactive"]
        # Earlier versions did not save it.
        house.solar_energy = state.get("solar", house.solar_energy)
        for appliance in house.appliances:
            appliance.energy = state["appliances"][appliance.id]
        now, house.clock = house.clock, datetime.fromisoformat(state["clock"])
        absence = min((now - house.clock).total_seconds(), MAX_ABSENCE)
        for _ in range(int(absence // STEP)):
            await reader.advance(STEP)
        await reader.advance(absence % STEP)
        house.clock = now
