"""Start: importing, setting up, the first state, and what an unused platform costs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
from time import monotonic, process_time
from typing import Final

from homeassistant.const import EVENT_STATE_CHANGED, Platform
from homeassistant.core import Event, EventStateChangedData, callback

from custom_components import energy_sse
from tests.samples import sample
from tests.simulators import House, WhatwattSimulator
from tests.wait import wait_until

from .home import ROOT, add_reader, home_assistant, run, set_up_entries
from .measure import Effort, Result, alone, table

# Its reader repeats the recorded reading on connect, as a meter that happens to speak at that moment.
METER: Final = "whatwatt_live_fw2.sse"

# What any Home Assistant has imported by then comes first; of ours, what is imported for a reader.
IMPORT: Final = """
from time import process_time
import homeassistant.bootstrap
from homeassistant.components import binary_sensor, button, event, sensor
import homeassistant.helpers.update_coordinator
began = process_time()
from custom_components.energy_sse import config_flow, binary_sensor, button, event, sensor
print(process_time() - began)
"""


@dataclass(frozen=True)
class Start:
    """Seconds from the set-up of an entry on."""

    cpu: float
    """CPU of the set-up."""

    set_up: float
    """Until it was set up, by the clock."""

    first_state: float
    """Until the first measurement had a state, by the clock."""


def recorded_reader() -> WhatwattSimulator:
    """Return a reader that says on connect what was recorded of a meter."""
    reader = WhatwattSimulator(House(clock=datetime.now(UTC)))
    reader.recording = sample(METER)
    return reader


async def prepare(folder: Path) -> int:
    """Let a Home Assistant know a reader. Returns the reader's port."""
    reader = recorded_reader()
    await reader.start()
    async with home_assistant(folder) as hass:
        await add_reader(hass, reader.host)
        await wait_until(lambda: hass.states.async_all("sensor"))
        await hass.async_block_till_done()
    await reader.stop()
    return reader.port


async def start(folder: Path, port: int) -> Start:
    """Set up the reader that a Home Assistant has known before, as at every later start."""
    first_state = 0.0

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        nonlocal first_state
        state = event.data["new_state"]
        if (
            not first_state
            and state is not None
            and state.domain == Platform.SENSOR
            and state.state[0].isdigit()
        ):
            first_state = monotonic()

    reader = recorded_reader()
    await reader.start(port)
    async with home_assistant(folder) as hass:
        hass.bus.async_listen(EVENT_STATE_CHANGED, note)
        began, cpu_before = monotonic(), process_time()
        await set_up_entries(hass)
        cpu, set_up = process_time() - cpu_before, monotonic() - began
        await wait_until(lambda: first_state)
    await reader.stop()
    return Start(cpu, set_up, first_state - began)


def measure_prepare(folder: Path) -> int:
    """Run it in this process."""
    return run(prepare(folder))


def measure_start(folder: Path, port: int, *, without: Platform | None = None) -> Start:
    """Run it in this process, if need be without a platform."""
    platforms = tuple(each for each in energy_sse.PLATFORMS if each != without)
    energy_sse.PLATFORMS = platforms  # type: ignore[misc, assignment] # for this process only
    return run(start(folder, port))


def measure_import() -> float:
    """Return the seconds of CPU that importing takes in a fresh process."""
    command = (sys.executable, "-c", IMPORT)
    return float(subprocess.run(command, check=True, cwd=ROOT, capture_output=True).stdout)


def report(effort: Effort) -> str:
    """Measure and tell."""
    repeats = range(effort.choose(15, 3))
    imports = Result([measure_import() for _ in repeats])
    with TemporaryDirectory() as name:
        folder = Path(name)
        port = alone(measure_prepare, folder)
        starts, without = [], []
        # In turn, so that both see the same of whatever else this machine does.
        for _ in repeats:
            starts.append(alone(measure_start, folder, port))
            without.append(alone(measure_start, folder, port, without=Platform.EVENT))
    cpu = Result([each.cpu for each in starts])
    cpu_without = Result([each.cpu for each in without])
    rows = [
        ("importing the integration, config flow and all platforms (CPU)", imports.text(1e3, 1)),
        ("setting up one reader (CPU, the simulated reader's answers included)", cpu.text(1e3, 1)),
        (
            "the same without the event platform, which a whatwatt does not use (CPU)",
            cpu_without.text(1e3, 1),
        ),
        (
            "until it is set up, which the start of Home Assistant waits for (clock)",
            Result([each.set_up for each in starts]).text(1e3, 1),
        ),
        (
            "until the first measurement has a state (clock)",
            Result([each.first_state for each in starts]).text(1e3, 1),
        ),
    ]
    return table(("", "ms"), rows)
