"""Fault matrix: faults between a reader and Home Assistant, and their effects for the user.

`scripts/measure reliability` runs it and writes `docs/results/reliability.md`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
import logging
import re
from typing import Any
import zlib

from homeassistant.config_entries import SOURCE_ZEROCONF
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.histories import RegisterUpdate
from custom_components.energy_sse.reader import READERS, Measurement, clock, connection

from .home_assistant import announcement, entity_id, sent_value, set_up
from .logs import logged_messages
from .simulators import SIMULATORS, House, Simulator, WhatwattSimulator
from .simulators.digest import BasicAuth
from .simulators.network import FaultyNetwork, close_connection
from .simulators.whatwatt import Firmware
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow(
    "reader/*",
    "coordinator.py",
    "availability.py",
    "readings.py",
    "tests/simulators/*",
    "tests/time_machine.py",
)

# Seconds before a fault, of a fault, and until the recovery is logged: the longest idle time of a stream, the
# longest wait, the longest attempt, and a minute of readings.
BEFORE = 180
FAULT_LASTS = 900
RECOVERS_WITHIN = 45 + 300 + 30 + 60

# Faults of one kind of reader, and of all kinds that can have a password.
WHATWATT = ("whatwatt",)
WITH_PASSWORD = tuple(kind for kind, reader in READERS.items() if reader.can_have_password)


@dataclass
class Home:
    """A Home Assistant, a reader that sends readings, and the network between them."""

    hass: HomeAssistant
    reader: Simulator
    network: FaultyNetwork
    time_machine: TimeMachine
    entry: MockConfigEntry | None = None
    attempts: list[float] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)
    others: list[asyncio.Task[None]] = field(default_factory=list)
    networks: list[FaultyNetwork] = field(default_factory=list)

    @property
    def coordinator(self) -> Any:
        assert self.entry is not None
        return self.entry.runtime_data.coordinator

    @property
    def power(self) -> str:
        found = entity_id(self.hass, "sensor", f"{self.reader.device_id}_active_power_net")
        assert found is not None
        return found

    async def announce(self, network: FaultyNetwork) -> None:
        """Announce the reader at the address of a network."""
        info = announcement(self.reader)
        info.port = network.port
        await self.hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_ZEROCONF}, data=info)

    async def another_network(self, reader: Simulator) -> FaultyNetwork:
        network = await FaultyNetwork(reader).start()
        self.networks.append(network)
        return network

    def worst_minute(self) -> int:
        return max((sum(a <= b < a + 60 for b in self.attempts) for a in self.attempts), default=0)


type Step = Callable[[Home], Coroutine[Any, Any, None]]


async def nothing(_home: Home) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """Beginning and end of a fault."""

    name: str
    begin: Step
    end: Step
    readers: tuple[str, ...] = tuple(SIMULATORS)
    seen: bool | None = True
    """True if values become unavailable; None if both can happen."""

    asks_the_user: tuple[str, ...] = ()
    """Kinds of readers for which the user has to act."""

    lasts: float = FAULT_LASTS
    options: dict[str, Any] = field(default_factory=dict)


# ------------------------------------------------------------------------------------ responses


def responding(data: bytes, *, then_wait: bool = False) -> Callable[..., Awaitable[None]]:
    """Return a function that responds with bytes."""

    async def respond(_client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_wait:
            await asyncio.Event().wait()

    return respond


def status(code: str, *headers: str, body: bytes = b"") -> Callable[..., Awaitable[None]]:
    lines = [f"HTTP/1.1 {code}", *headers, "Connection: close", f"Content-Length: {len(body)}", "", ""]
    return responding("\r\n".join(lines).encode() + body)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
LIVE = b'event: live\ndata: {"P_In":1.5,"P_Out":0}\n\n'


async def drip(_client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the head one byte at a time, too slowly for the timeout."""
    for byte in STREAM_HEAD:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(2)


async def endless_line(_client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a line that does not end."""
    writer.write(STREAM_HEAD + b"data: ")
    while True:
        writer.write(b"a" * 65536)
        await writer.drain()
        await asyncio.sleep(5)


def set_response(respond: Callable[..., Awaitable[None]], *, only_the_stream: bool = False) -> Step:
    async def begin(home: Home) -> None:
        home.network.only_the_stream = only_the_stream
        home.network.respond = respond
        await home.network.cut()

    return begin


async def respond_normally(home: Home) -> None:
    home.network.respond = None


# ------------------------------------------------------------------------------------ changed streams


def mangling(mangle: Callable[[bytes], Any]) -> Step:
    async def begin(home: Home) -> None:
        home.network.mangle = mangle
        await home.network.cut()

    return begin


async def stop_mangling(home: Home) -> None:
    home.network.mangle = None


def byte_by_byte(piece: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in piece]


def with_garbage(piece: bytes) -> list[bytes]:
    return [b"\x00\xff\xfe garbage: {[\n\n", piece, b'event: live\ndata: {"P_In":nan,"x":[[[\n\n']


def with_unstorable_texts(piece: bytes) -> list[bytes]:
    texts = ("half \\ud83d", "\\u0000", "two\\r\\nlines", "\\u202e", "n" * 20_000, "[M](http://evil.example)")
    events = []
    for text in texts:
        names = f'"id":"x","bs":"ON","sName":"{text}","from":"{text}","dName":"{text}","cat":"{text}"'
        events.append(f"event: transition\ndata: {{{names}}}\n\n")
        events.append(f'event: live\ndata: {{"Vol":[{{"M_ID":"{text}","Cum":5}}]}}\n\n')
    return [piece, "".join(events).encode()]


REGISTERS = re.compile(rb'"(Wh|Ph|Rh|Qh|E_\w+|rE\w*)":\s*([0-9.]+)')


def with_zeros_before(piece: bytes) -> list[bytes]:
    return [REGISTERS.sub(rb'"\1":0', piece), piece]


def with_wrong_registers_before(piece: bytes) -> list[bytes]:
    return [REGISTERS.sub(rb'"\1":9\2', piece), piece]


def with_texts_for_numbers(piece: bytes) -> list[bytes]:
    return [re.sub(rb'":\s*(-?[0-9.]+)', rb'":"\1"', piece)]


def with_huge_event(piece: bytes) -> list[bytes]:
    return [piece, b"data: ", *[b"x" * 65536] * 160, b"\n\n"]


def other_line_ends(piece: bytes) -> list[bytes]:
    if b"\r\n" in piece:
        return [piece.replace(b"\r\n", b"\n")]
    return [piece.replace(b"\n", b"\r\n")]


async def compressed(home: Home) -> None:
    compressor = zlib.compressobj(wbits=31)

    def mangle(piece: bytes) -> list[bytes]:
        return [compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)]

    home.network.mangle = mangle
    home.network.extra_head = b"Content-Encoding: gzip\r\n"
    await home.network.cut()


async def stop_compressing(home: Home) -> None:
    home.network.mangle = None
    home.network.extra_head = b""
    await home.network.cut()


def cut_in_half(home: Home, piece: bytes) -> list[bytes]:
    asyncio.get_running_loop().call_soon(partial(asyncio.ensure_future, home.network.cut()))
    return [piece[: len(piece) // 2]]


async def reset_in_the_middle(home: Home) -> None:
    home.network.mangle = partial(cut_in_half, home)


# ------------------------------------------------------------------------------------ other faults


async def unplug(home: Home) -> None:
    await home.network.stop()


async def plug_in(home: Home) -> None:
    await home.network.start(home.network.port)


async def ignore_connections(home: Home) -> None:
    await home.network.ignore_connections()


async def accept_again(home: Home) -> None:
    await home.network.stop()
    await home.network.start(home.network.port)


async def freeze(home: Home) -> None:
    home.network.is_frozen = True


async def unfreeze(home: Home) -> None:
    home.network.is_frozen = False


async def restart(home: Home, *, announced: bool) -> None:
    reader = home.reader
    if announced:
        await reader.announce_restart()
    await home.network.stop()
    await asyncio.sleep(40)
    reader.reboot()
    await home.network.start(home.network.port)


async def move(home: Home) -> None:
    await home.network.stop()
    await asyncio.sleep(20)
    await home.announce(await home.another_network(home.reader))


async def announce_two_addresses(home: Home) -> None:
    other = await home.another_network(home.reader)
    for _ in range(10):
        await home.announce(other)
        await asyncio.sleep(30)
        await home.announce(home.network)
        await asyncio.sleep(30)


async def swap(home: Home) -> None:
    other = home.reader.neighbor(House(clock=home.reader.house.clock, seed=7))
    await other.start(live=True)
    home.network.reader = other
    await home.network.cut()


async def swap_back(home: Home) -> None:
    await home.network.reader.stop()
    home.network.reader = home.reader


async def replace_by_rogue(home: Home) -> None:
    """Announce a device with the same id that asks for HTTP Basic, while the reader is off."""
    await home.network.stop()
    rogue = WhatwattSimulator(home.reader.house, device_id=home.reader.device_id)
    rogue.auth = BasicAuth("secret")
    await rogue.start()
    network = await home.another_network(rogue)
    for _ in range(12):
        await home.announce(network)
        await asyncio.sleep(60)
    assert "GET /api/v1/live" not in rogue.requests


async def contend(home: Home) -> None:
    async def take_the_stream() -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", home.reader.port)
            writer.write(b"GET /api/v1/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with suppress(ConnectionError):
                await reader.read(-1)
            writer.close()
            await asyncio.sleep(3)

    home.others.append(asyncio.create_task(take_the_stream()))


async def close_other_client(home: Home) -> None:
    home.others.pop().cancel()


async def stop_meter(home: Home) -> None:
    home.reader.stop_meter()


async def resume_meter(home: Home) -> None:
    home.reader.resume_meter()


async def set_clock_to_1970(home: Home) -> None:
    home.reader.house.clock = datetime(1970, 1, 1, tzinfo=UTC)
    await home.network.cut()


async def correct_clock(home: Home) -> None:
    home.reader.house.clock = datetime.now(UTC)


async def close_repeatedly(home: Home, *, after: float) -> None:
    """Close all connections repeatedly, for most of the fault."""
    for _ in range(int(0.8 * FAULT_LASTS / after)):
        await home.network.cut(reset=False)
        await asyncio.sleep(after)


async def change_firmware(home: Home) -> None:
    assert isinstance(home.reader, WhatwattSimulator)
    home.reader.firmware = Firmware.FILLING


async def ask_for_a_password(home: Home, challenge: str | None) -> None:
    headers = () if challenge is None else (f"WWW-Authenticate: {challenge}",)
    await set_response(status("401 Unauthorized", *headers))(home)


async def expire_nonces(home: Home) -> None:
    assert isinstance(home.reader, WhatwattSimulator)
    assert home.reader.auth is not None
    assert not isinstance(home.reader.auth, BasicAuth)
    home.reader.auth.uses_per_nonce = 1
    home.reader.auth.delete_nonces()
    home.reader.end_streams()


async def remove_the_password(home: Home) -> None:
    assert isinstance(home.reader, WhatwattSimulator)
    home.reader.auth = None
    home.reader.end_streams()


LICENSED = {"password": None, "license_type": "PLUS"}
DIGEST = 'Digest realm="whatwatt", qop="auth", algorithm=MD5-sess, nonce="00", opaque="00"'

FAULTS = [
    Fault("connection refused", unplug, plug_in),
    Fault("connections time out (no route, firewall)", ignore_connections, accept_again),
    Fault("accept, then no data", set_response(responding(b"", then_wait=True)), respond_normally),
    Fault("accept, then close", set_response(close_connection), respond_normally),
    *(
        Fault(name, set_response(responding(data), only_the_stream=True), respond_normally)
        for name, data in (
            ("stream: accept, then close", STREAM_HEAD),
            ("stream: close after one event", STREAM_HEAD + LIVE),
        )
    ),
    Fault("half-open: nothing arrives any more", freeze, unfreeze),
    Fault("slow headers", set_response(drip), respond_normally),
    Fault("reset in the middle of every event", reset_in_the_middle, stop_mangling),
    Fault("chunk edges at every byte", mangling(byte_by_byte), stop_mangling, seen=False, lasts=120),
    Fault("endless line", set_response(endless_line, only_the_stream=True), respond_normally),
    Fault("10 MB event after every event", mangling(with_huge_event), stop_mangling, seen=False, lasts=120),
    Fault("gzip", compressed, stop_compressing),
    Fault(
        "wrong content type",
        set_response(status("200 OK", "Content-Type: text/html", body=b"<p>hi</p>")),
        respond_normally,
    ),
    *(
        Fault(code, set_response(status(*head)), respond_normally)
        for code, *head in (
            ("redirect", "302 Found", "Location: http://127.0.0.1:9/"),
            ("204", "204 No Content"),
            ("404", "404 Not Found"),
            ("429, Retry-After 120", "429 Slow Down", "Retry-After: 120"),
            ("500", "500 Oops"),
            ("503", "503 Busy"),
        )
    ),
    *(
        Fault(
            f"401 {word}",
            partial(ask_for_a_password, challenge=challenge),
            respond_normally,
            asks_the_user=WITH_PASSWORD,
        )
        for word, challenge in (
            ("without a challenge", None),
            ("Digest, again and again", DIGEST),
            ("Basic", 'Basic realm="x"'),
            ("in a scheme of its own", "Bearer"),
        )
    ),
    Fault(
        "401, a challenge that makes no sense",
        partial(ask_for_a_password, challenge=DIGEST + ', domain="http://[::1"'),
        respond_normally,
    ),
    Fault("a rogue is announced while it is off", replace_by_rogue, plug_in, WHATWATT),
    Fault("nonces wear out with every use", expire_nonces, nothing, WHATWATT, seen=False),
    Fault(
        "password removed on the device",
        remove_the_password,
        nothing,
        WHATWATT,
        asks_the_user=WITH_PASSWORD,
    ),
    Fault("403", set_response(status("403 Forbidden")), respond_normally, asks_the_user=WITH_PASSWORD),
    Fault("restart, announced", partial(restart, announced=True), nothing, seen=None),
    Fault("restart, unannounced", partial(restart, announced=False), nothing, seen=None),
    Fault("new address", move, nothing, seen=False),
    Fault("two addresses announced in turn", announce_two_addresses, nothing, seen=False),
    Fault("another device at the address", swap, swap_back),
    Fault(
        "another client takes the stream", contend, close_other_client, WHATWATT, options={"password": None}
    ),
    Fault(
        "another client, with a license", contend, close_other_client, WHATWATT, seen=False, options=LICENSED
    ),
    Fault("meter sends no data", stop_meter, resume_meter),
    Fault("clock at 1970", set_clock_to_1970, correct_clock, seen=False),
    *(
        Fault(f"drops every {each} seconds", partial(close_repeatedly, after=each), nothing, seen=False)
        for each in (30, 40, 55, 65)
    ),
    Fault("firmware that changes its keys", change_firmware, nothing, WHATWATT, seen=False),
    *(
        Fault(name, mangling(mangle), stop_mangling, seen=False)
        for name, mangle in (
            ("firmware that writes numbers as texts", with_texts_for_numbers),
            ("texts that no file can hold", with_unstorable_texts),
            ("registers at zero before every reading", with_zeros_before),
            ("registers leap before every reading", with_wrong_registers_before),
            ("garbage between events", with_garbage),
            ("other line ends (CRLF, LF)", other_line_ends),
        )
    ),
]

CASES = [(fault, kind) for fault in FAULTS for kind in fault.readers]


@pytest.fixture
async def home(
    hass: HomeAssistant,
    house: House,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[Fault, str],
) -> AsyncGenerator[Home]:
    """Return a home without faults."""
    fault, kind = case
    options = {"password": "secret"} if kind in WITH_PASSWORD else {}
    reader = SIMULATORS[kind](house, **(options | fault.options))
    await reader.start(live=True)
    network = await FaultyNetwork(reader).start()
    home = Home(hass, reader, network, time_machine, networks=[network])
    home.entry = await set_up(hass, reader, host=network.host)
    await time_machine.advance(BEFORE)
    assert home.coordinator.availability.has_fresh_readings
    attempt = connection.Backoff.record_attempt

    def record_attempt(backoff: connection.Backoff) -> None:
        home.attempts.append(clock.now())
        attempt(backoff)

    monkeypatch.setattr(connection.Backoff, "record_attempt", record_attempt)
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)
    for other in home.others:
        other.cancel()
    for each in home.networks:
        await each.stop()
        if each.reader is not reader:
            await each.reader.stop()
    await reader.stop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[0].name}")
async def test_connection_recovers_after_a_fault(
    home: Home,
    case: tuple[Fault, str],
    caplog: pytest.LogCaptureFixture,
    reliability_table: list[tuple[str, ...]],
) -> None:
    fault, kind = case
    caplog.set_level(logging.INFO, "custom_components.energy_sse")

    @callback
    def record_state(event: Event[EventStateChangedData]) -> None:
        assert event.data["new_state"] is not None
        home.states.append((clock.now(), event.data["new_state"].state))

    received: list[datetime] = []

    @callback
    def record_reading(update: RegisterUpdate) -> None:
        received.append(update.reading.time)

    home.coordinator.async_add_reading_listener(record_reading)
    async_track_state_change_event(home.hass, home.power, record_state)

    telegrams = home.reader.telegrams
    beginning = asyncio.create_task(fault.begin(home))
    await home.time_machine.advance(fault.lasts)
    await beginning
    ended = clock.now()
    await fault.end(home)

    recovered = "-"
    asks_the_user = kind in fault.asks_the_user
    if asks_the_user:
        attempts = len(home.attempts)
        await home.time_machine.advance(RECOVERS_WITHIN)
        assert len(home.attempts) == attempts
        (flow,) = home.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
        assert flow["context"]["source"] == "reauth"
    else:
        await home.time_machine.advance(RECOVERS_WITHIN)
        assert home.states[-1][1] != "unavailable"
        # The last telegram can arrive later on a busy machine.
        registers = home.coordinator.readings.values
        register = Measurement.ACTIVE_ENERGY_IMPORT
        await wait_until(lambda: registers[register] == sent_value(home.reader, register))
        back = next((at for at, state in home.states if at >= ended and state != "unavailable"), ended)
        recovered = f"{back - ended:.0f} s" if fault.seen else "-"

    was_unavailable = "unavailable" in [state for _, state in home.states]
    if fault.seen is not None:
        assert was_unavailable == (fault.seen or asks_the_user)
    assert home.worst_minute() <= 6
    lines = logged_messages(caplog)
    lost = [line for line in lines if "sends no readings:" in line]
    back_again = [line for line in lines if "sends readings again" in line]
    assert len(lost) == (1 if was_unavailable else 0)
    assert len(back_again) == (1 if was_unavailable and not asks_the_user else 0)
    moved = [line for line in lines if "moved" in line]
    assert lines == lost + moved + back_again
    values = "unavailable, then back" if was_unavailable else "available throughout"
    if asks_the_user:
        values = "unavailable until the user acts"
    reliability_table.append(
        (
            fault.name,
            kind,
            str(len(home.attempts)),
            str(home.worst_minute()),
            recovered,
            str(max(home.reader.telegrams - telegrams - distinct(received), 0)),
            str(len(lines)),
            values,
        )
    )


def distinct(times: list[datetime]) -> int:
    """Count readings without repetitions."""
    return len(set(times))
