"""Soak test: a real Home Assistant with both readers, a reading every second, and random faults.

At the end, each transition must have fired exactly one event, and each sensor of a register must show the
register of the meter. Home Assistant must not use more memory, tasks and sockets than before.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
import math
from pathlib import Path
import random
import sys
import tempfile
from time import monotonic
from typing import Any, Final

import aiohttp

from demo.home_assistant import ROOT, HomeAssistantApi, HomeAssistantProcess, free_port
from demo.setting_up import submit
from tests import measured_tables
from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.simulators.house import Appliance
from tests.simulators.network import FaultyNetwork
from tests.wait import wait_until

DOCUMENT: Final = ROOT / "docs/results/soak.md"

PASSWORD: Final = "soak"  # noqa: S105 (of a simulated reader)

# Seconds until Home Assistant has filled its caches.
WARM_UP: Final = 60

# Seconds. The longest fault; the wait after it can be longer.
MAX_FAULT: Final = 8

# Seconds. Age up to which a missed change has to fire an event. After a minute, it fires none.
EVENT_MAX_AGE: Final = 50

# Seconds. A stream that ends later has delivered all events before.
DELIVERY: Final = 5

# Seconds between two changes of an appliance. If a change was lost, a faster change back would be taken for a
# repeated report.
MIN_CHANGE_INTERVAL: Final = 6

# Seconds. The longest wait, and the longest attempt.
RECOVERY: Final = 400

# MiB, tasks and sockets by which Home Assistant itself can grow in some minutes, for its database and its own
# connections.
MAX_MEMORY_GROWTH: Final = 25.0
MAX_TASK_GROWTH: Final = 3
MAX_SOCKET_GROWTH: Final = 4

type Figures = dict[str, float]


@dataclass
class Expected:
    """Transition that the reader has reported or tried to report."""

    appliance: str
    state: str
    time: str
    sent: float
    while_offline: bool
    received_after: float = 0.0
    """Seconds until the next stream, if the stream was closed or was closing; else zero."""

    def may_fire_no_event(self, known: str | None, others: Iterable[Expected]) -> bool:
        """Return whether a lost transition may not fire an event with the next stream.

        It is too old then, or its state is the known one, or the device repeats a later change instead. A
        device repeats only the last change of an appliance.
        """
        if not self.received_after:
            return False
        received = self.sent + self.received_after
        return (
            self.received_after > EVENT_MAX_AGE
            or self.state == known
            or any(
                other.appliance == self.appliance and self.sent < other.sent < received for other in others
            )
        )


@dataclass
class Soak:
    """One run of the soak test."""

    random: random.Random
    networks: list[FaultyNetwork]
    faults: Counter[str] = field(default_factory=Counter)
    transitions: list[Expected] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def inject_faults(self, network: FaultyNetwork) -> None:
        """Inject one fault after the other, with different waits between them."""
        while True:
            await asyncio.sleep(self.random.choice([2, 5, 15, 65]))
            fault = self.random.choice(FAULTS)
            self.faults[fault.__name__] += 1
            await fault(network, self.random.uniform(0.5, MAX_FAULT))
            await wait_until(lambda: network.reader.streams, within=RECOVERY)

    async def report_each(self, reader: CurrentlyOneSimulator) -> None:
        """Switch each appliance once, because a repeated first report fires no event."""
        for appliance in reader.house.appliances:
            await self._switch(reader, appliance)
            await asyncio.sleep(1)

    async def switch_appliances(self, reader: CurrentlyOneSimulator) -> None:
        """Switch appliances at random."""
        async with asyncio.TaskGroup() as following:
            while True:
                await asyncio.sleep(self.random.uniform(0.3, 2))
                number, recently = reader.stream_count, monotonic() - MIN_CHANGE_INTERVAL
                changed = {each.appliance for each in self.transitions if each.sent > recently}
                others = [each for each in reader.house.appliances if each.id not in changed]
                if others:
                    expected = await self._switch(reader, self.random.choice(others))
                    following.create_task(self._follow(reader, expected, number))

    async def _switch(self, reader: CurrentlyOneSimulator, appliance: Appliance) -> Expected:
        time = datetime.fromtimestamp(int(reader.house.clock.timestamp()), UTC).isoformat()
        state = appliance.states[(appliance.index + 1) % len(appliance.states)].name
        expected = Expected(appliance.id, state, time, monotonic(), while_offline=not reader.streams)
        self.transitions.append(expected)
        await reader.switch(appliance.id, state)
        return expected

    async def _follow(self, reader: CurrentlyOneSimulator, expected: Expected, number: int) -> None:
        """Measure when the reader can repeat a change, if its stream ends before the change is delivered.

        The next stream can end too early, too.
        """

        def has_ended() -> bool:
            return not reader.streams or reader.stream_count > number

        def is_back() -> bool:
            return bool(reader.streams) and reader.stream_count > number

        with suppress(TimeoutError):
            while True:
                await wait_until(has_ended, within=DELIVERY)
                expected.received_after = math.inf
                await wait_until(is_back, within=RECOVERY)
                expected.received_after = monotonic() - expected.sent
                number = reader.stream_count

    async def watch(self, api: HomeAssistantApi, url: str) -> None:
        """Count the events of each appliance in the state machine."""
        headers = {"Authorization": f"Bearer {api.tokens['access_token']}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            socket = await session.ws_connect(f"{url}/api/websocket", max_msg_size=0)
            await socket.receive_json()
            await socket.send_json({"type": "auth", "access_token": api.tokens["access_token"]})
            await socket.receive_json()
            await socket.send_json({"id": 1, "type": "subscribe_events", "event_type": "state_changed"})
            last: dict[str, str] = {}
            async for message in socket:
                event = message.json()
                new = event.get("event", {}).get("data", {}).get("new_state")
                if new is None or not new["entity_id"].startswith("event."):
                    continue
                # The state of an event entity is the time of its last event.
                if new["state"] in ("unknown", "unavailable") or last.get(new["entity_id"]) == new["state"]:
                    continue
                last[new["entity_id"]] = new["state"]
                appliance = new["entity_id"].removeprefix("event.").removesuffix("_state_change")
                self.seen[appliance, new["attributes"]["device_time"]] += 1


# ------------------------------------------------------------------------------------------------ faults


async def reset(network: FaultyNetwork, _seconds: float) -> None:
    """Reset all connections."""
    await network.cut()


async def orderly_end(network: FaultyNetwork, _seconds: float) -> None:
    """End all connections in an orderly way."""
    await network.cut(reset=False)


async def refuse(network: FaultyNetwork, seconds: float) -> None:
    """Refuse all connections."""
    await network.stop()
    await asyncio.sleep(seconds)
    await network.start(network.port)


async def ignore_connections(network: FaultyNetwork, seconds: float) -> None:
    """Neither accept nor refuse connections."""
    await network.ignore_connections()
    await asyncio.sleep(seconds)
    await network.stop()
    await network.start(network.port)


def respond(data: bytes, name: str) -> Callable[[FaultyNetwork, float], Awaitable[None]]:
    """Return a fault that sends some bytes as the response."""

    async def send(_client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    async def fault(network: FaultyNetwork, seconds: float) -> None:
        network.respond = send
        await network.cut()
        await asyncio.sleep(seconds)
        network.respond = None

    fault.__name__ = name
    return fault


async def garbage(network: FaultyNetwork, seconds: float) -> None:
    """Send garbage between the events."""
    network.mangle = lambda piece: [b'\x00\xffevent: live\ndata: {"P_In":[nan}\n\n', piece]
    await asyncio.sleep(seconds)
    network.mangle = None


async def huge_event(network: FaultyNetwork, _seconds: float) -> None:
    """Send one event of 10 MB."""

    def mangle(piece: bytes) -> list[bytes]:
        network.mangle = None
        return [piece, b"data: ", *[b"x" * 65536] * 160, b"\n\n"]

    network.mangle = mangle
    await asyncio.sleep(2)


FAULTS: Final[list[Any]] = [
    reset,
    orderly_end,
    refuse,
    ignore_connections,
    respond(b"", "disconnect"),
    respond(b"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "status_500"),
    respond(b"\x00\xff\r\n\r\n", "not_http"),
    garbage,
    huge_event,
]


# ---------------------------------------------------------------------------------------------- the run


async def add(api: HomeAssistantApi, host: str) -> None:
    """Add a reader by its address."""
    flow = await api.post("/api/config/config_entries/flow", {"handler": "energy_sse"})
    flow = await submit(api, flow, host=host)
    if flow["type"] == "form":
        flow = await submit(api, flow, password=PASSWORD)
    if flow["type"] != "create_entry":
        sys.exit(f"The reader could not be added: {flow}")


async def registers(api: HomeAssistantApi) -> dict[str, float]:
    """Return the import register of both readers in Wh, by entity id."""
    states = await api.get("/api/states")
    return {
        state["entity_id"]: float(state["state"]) * 1000
        for state in states
        if state["entity_id"].endswith("_energy_import") and state["state"] != "unavailable"
    }


async def run(minutes: float, seed: int, *, calm: bool) -> bool:
    """Run the soak test, and print the results. Return whether they are right."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        houses = [House(clock=datetime.now(UTC), seed=each) for each in (1, 2)]
        for appliance in (each for house in houses for each in house.appliances):
            # Only this run switches appliances.
            appliance.durations = (10**9,) * len(appliance.states)
            appliance.switch(0)
        whatwatt = WhatwattSimulator(houses[0], password=PASSWORD, interval=1)
        currentlyone = CurrentlyOneSimulator(houses[1], interval=1)
        networks = []
        for reader in (whatwatt, currentlyone):
            await reader.start(live=True)
            stack.push_async_callback(reader.stop)
            networks.append(await FaultyNetwork(reader).start())
            stack.push_async_callback(networks[-1].stop)

        (folder / "custom_components").mkdir()
        (folder / "custom_components/soak_probe").symlink_to(ROOT / "soak/probe")
        process = HomeAssistantProcess(
            folder, address="127.0.0.1", port=free_port(0, "127.0.0.1", "Home Assistant")
        )
        process.configuration += "soak_probe:\n"
        stack.push_async_callback(process.stop)
        print("==> Starting Home Assistant", flush=True)
        await process.start()
        api = await stack.enter_async_context(HomeAssistantApi(process.url))
        await api.onboard("Soak", "soak", "soak")
        await api.wait_running()
        for network in networks:
            await add(api, network.host)

        soak = Soak(random.Random(seed), networks)  # noqa: S311 (chooses faults)
        tasks = [asyncio.create_task(soak.watch(api, process.url))]
        await asyncio.sleep(WARM_UP)
        await soak.report_each(currentlyone)
        before: Figures = await api.get("/api/soak_probe")
        print(f"==> {minutes:g} minutes {'without' if calm else 'of'} faults, seed {seed}", flush=True)
        faults = [asyncio.create_task(soak.inject_faults(network)) for network in networks if not calm]
        faults.append(asyncio.create_task(soak.switch_appliances(currentlyone)))
        ends = monotonic() + minutes * 60
        while (left := ends - monotonic()) > 0:
            await asyncio.sleep(min(left, 60))
            figures: Figures = await api.get("/api/soak_probe")
            print(f"    {(ends - monotonic()) / 60:4.1f} min left: {describe(figures)}", flush=True)
        for task in faults:
            task.cancel()
        await recover(networks)
        await asyncio.sleep(10)
        received = await registers(api)
        meters = [sum(house.active_import.values()) for house in houses]
        after: Figures = await api.get("/api/soak_probe")
        for task in tasks:
            task.cancel()
        log = process.log.read_text() if process.log.exists() else ""
        return report(
            soak,
            minutes=minutes,
            calm=calm,
            before=before,
            after=after,
            registers=received,
            meters=meters,
            log=log,
        )


async def recover(networks: list[FaultyNetwork]) -> None:
    """End all faults, and wait for both streams."""
    for network in networks:
        network.respond = network.mangle = None
        await network.stop()
        await network.start(network.port)
    await wait_until(lambda: all(network.reader.streams for network in networks), within=RECOVERY)


def describe(figures: Figures) -> str:
    """Return figures as a line of text."""
    return ", ".join(
        f"{name} {value:.1f}" if name == "memory" else f"{name} {value}" for name, value in figures.items()
    )


def report(
    soak: Soak,
    *,
    minutes: float,
    calm: bool,
    before: Figures,
    after: Figures,
    registers: dict[str, float],
    meters: list[float],
    log: str,
) -> bool:
    """Print the results, write them to the document, and return whether they are right."""
    missing, doubled, lost = [], [], 0
    known: dict[str, str] = {}
    for each in soak.transitions:
        count = soak.seen[slug(each.appliance), each.time]
        if count or each.received_after > EVENT_MAX_AGE:
            known[each.appliance] = each.state
        if count == 0 and each.may_fire_no_event(known.get(each.appliance), soak.transitions):
            lost += 1
        elif count == 0:
            missing.append(each)
        if count > 1:
            doubled.append(each)
    unknown = set(soak.seen) - {(slug(each.appliance), each.time) for each in soak.transitions}
    differences = [min(abs(meter - value) for value in registers.values()) for meter in meters]
    errors = [line for line in log.splitlines() if "ERROR" in line and "energy_sse" in line]
    while_offline = sum(each.while_offline for each in soak.transitions)
    rows: list[tuple[str, ...]] = [
        ("minutes", f"{minutes:g}"),
        ("faults", f"{soak.faults.total()} of {len(soak.faults)} kinds"),
        ("transitions", f"{len(soak.transitions)}, {while_offline} of them without a stream"),
        ("seen exactly once", str(len(soak.transitions) - len(missing) - len(doubled) - lost)),
        ("no event: too old at the reconnect, followed by another, or back to what was known", str(lost)),
        ("missing, doubled, never happened", f"{len(missing)}, {len(doubled)}, {len(unknown)}"),
        (
            "largest difference between a register and its meter",
            f"{max(differences):.1f} Wh (one reading is about 1 Wh)",
        ),
        ("memory of Home Assistant", f"{before['memory']:.0f} → {after['memory']:.0f} MiB"),
        ("tasks", f"{before['tasks']} → {after['tasks']}"),
        ("streams", f"{before['streams']} → {after['streams']}"),
        ("timers", f"{before['timers']} → {after['timers']}"),
        ("sockets", f"{before['sockets']} → {after['sockets']}"),
        ("errors in the log", str(len(errors))),
    ]
    for name, value in rows:
        print(f"{name}: {value}")
    for problem in (*missing, *doubled, *unknown, *errors[:5]):
        print(problem)
    if not calm:
        measured_tables.write("soak", rows, DOCUMENT)
    return (
        not (missing or doubled or unknown or errors)
        and len(registers) == len(meters)
        # The meters send each second, and a stream can be one telegram late.
        and max(differences) <= 5  # noqa: PLR2004
        and after["streams"] == before["streams"]
        and after["memory"] - before["memory"] <= MAX_MEMORY_GROWTH
        and after["tasks"] - before["tasks"] <= MAX_TASK_GROWTH
        and after["sockets"] - before["sockets"] <= MAX_SOCKET_GROWTH
    )


def slug(appliance_id: str) -> str:
    """Return the name of an appliance in entity ids."""
    return {"mocca_mast": "mocca_master"}.get(appliance_id, appliance_id)


def main() -> None:
    """Run the soak test. Exit with 1 if a result is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="duration of the faults (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults (default: 1)")
    parser.add_argument("--calm", action="store_true", help="run without faults, to compare")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        sys.exit(not asyncio.run(run(arguments.minutes, arguments.seed, calm=arguments.calm)))


if __name__ == "__main__":
    main()
