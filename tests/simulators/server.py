"""Base classes of simulated readers: HTTP server, streams, meter."""

from abc import ABC, abstractmethod
import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
import json
from typing import Any, ClassVar, NamedTuple, Self, override

from aiohttp import web

from .house import House
from .port import ReservedPort, is_reserved

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service(NamedTuple):
    """Service that a device announces by mDNS."""

    type: str
    name: str
    """Name of the instance, without the type."""

    hostname: str
    """Host name, without the domain."""

    port: int
    properties: Mapping[str, str] = {}


class Stream:
    """One open event stream."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._ended = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Send bytes. A closed connection is not an error."""
        with suppress(ConnectionError):
            await self._response.write(data)

    def end(self) -> None:
        """End the response."""
        self._ended.set()

    async def wait_ended(self) -> None:
        """Wait for the end."""
        await self._ended.wait()


class Server(ABC):
    """Simulated device that listens on a port of this machine."""

    kind: ClassVar[str]
    """Kind of reader, as in `Reader.kind`."""

    device_id: str

    def __init__(self) -> None:
        self.requests: list[str] = []
        """Method and path of each request, also of rejected ones."""

        self.streams: list[Stream] = []
        self.greeting_size = 0
        """Number of events with which the last stream began."""

        self.port = 0
        self._reserved: ReservedPort | None = None
        self._runner: web.AppRunner | None = None
        self._sending: asyncio.Task[None] | None = None

    @property
    def host(self) -> str:
        """Address of the device."""
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """True between start and stop."""
        return self._runner is not None

    @property
    def stream_count(self) -> int:
        """Number of requests of the stream."""
        return sum(request == f"GET {self.stream_path}" for request in self.requests)

    @property
    @abstractmethod
    def stream_path(self) -> str:
        """Path of the event stream."""

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """Routes of the HTTP server."""

    @abstractmethod
    async def send_events(self) -> None:
        """Send events until cancelled."""

    async def respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Respond to a request."""
        return await handler(request)

    async def start(self, port: int = 0, address: str = "127.0.0.1", *, live: bool = False) -> Self:
        """Listen. If `live` is true, the device sends events by itself.

        If `port` is 0, a free port is reserved until this object is deleted.
        """
        if port == 0:
            self._reserved = ReservedPort(address)
            port = self._reserved.number

        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.requests.append(f"{request.method} {request.path}")
            return await self.respond(request, handler)

        app = web.Application(middlewares=[record])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port, reuse_port=is_reserved(port))
        await site.start()
        self.port = port
        if live:
            self._sending = asyncio.create_task(self.send_events())
        return self

    async def stop(self) -> None:
        """Stop the server, and end all streams."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        self.end_streams()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def end_streams(self) -> None:
        """End all streams in an orderly way."""
        while self.streams:
            self.streams.pop().end()

    async def broadcast(self, data: bytes) -> None:
        """Send bytes to all streams."""
        for stream in list(self.streams):
            await stream.send(data)


class Simulator(Server):
    """Simulated reader with the meter of a house."""

    ids: ClassVar[tuple[str, str]]
    """Id of a device, if no other id is given, and of a second one."""

    marker_key: ClassVar[str]
    """Key of a measurement that differs from one reading to the next."""

    def __init__(
        self, house: House, *, device_id: str | None = None, interval: float = 10.0, name: str = ""
    ) -> None:
        super().__init__()
        self.house = house
        self.device_id = device_id or self.ids[0]
        self.interval = interval
        """Seconds between two telegrams of the meter."""

        self.name = name
        self.recording: bytes | None = None
        """Bytes to send on connect instead of the usual ones."""

        self.telegrams = 0
        """Number of telegrams that the meter has sent."""

        self.overrides: dict[str, float] = {}
        """Wrong values in readings by key."""

        self.missing_keys: set[str] = set()
        """Keys that are missing in readings."""

    @classmethod
    @abstractmethod
    def service(cls, device_id: str, port: int) -> Service:
        """Return the mDNS service that a device announces."""

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the options of this kind to a command line. They are arguments of the class."""

    @property
    def password(self) -> str | None:
        """Password of the device; None if it does not require one."""
        return None

    @abstractmethod
    def payload(self) -> dict[str, Any]:
        """Return a reading of the house as it is now."""

    @abstractmethod
    def encode(self, payload: str) -> bytes:
        """Return the event of a reading."""

    @abstractmethod
    async def send_reading(self) -> None:
        """Send a reading of the house as it is now, unless the meter is stopped."""

    async def send_values(self, values: Mapping[str, float]) -> None:
        """Send a reading with these values only."""
        await self.broadcast(self.encode(json.dumps(values)))

    async def send_everything(self) -> None:
        """Send every measurement that the device can send, in as many readings as it takes."""
        await self.tick()

    async def switch(self, appliance_id: str, state: str) -> None:
        """Switch an appliance of the house. A device that detects appliances reports it."""
        self.house.switch(appliance_id, state)

    @abstractmethod
    def set_register(self, watt_hours: float) -> None:
        """Set the import register that readings contain, regardless of the energy of the house."""

    @abstractmethod
    def stop_meter(self) -> None:
        """Stop the readings of the meter."""

    @abstractmethod
    def resume_meter(self) -> None:
        """Start the readings of the meter again."""

    async def send_heartbeat(self) -> None:
        """Send the event that the device sends regularly while its meter sends no data, if there is one."""

    async def announce_restart(self) -> None:
        """Send the message about a restart, if the device has one, and end the streams."""
        self.end_streams()

    def reboot(self) -> None:
        """Delete all data that the device does not store."""

    def neighbor(self, house: House) -> Self:
        """Return a second device of this kind, which has the same password."""
        return type(self)(house, device_id=self.ids[1])

    def secrets(self) -> list[str]:
        """Return texts that identify the device, its owner or their network."""
        return [self.device_id, self.host, "127.0.0.1", *self.name.replace('"', " ").split()]

    async def tick(self, seconds: float | None = None) -> None:
        """Advance the house by an interval, and send a reading."""
        await self.advance(self.interval if seconds is None else seconds)
        self.telegrams += 1
        await self.send_reading()

    async def advance(self, seconds: float) -> None:
        """Advance the house."""
        for _ in self.house.advance(seconds):
            pass

    async def serve_stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        greeting: Callable[[], bytes] = lambda: b"",
    ) -> None:
        """Keep a stream open until one side ends it. Events after the call of `greeting` are sent, too."""
        await response.prepare(request)
        stream = Stream(response)
        self.streams.append(stream)
        try:
            beginning = self.recording or greeting()
            self.greeting_size = beginning.count(b"event:")
            await stream.send(beginning)
            await stream.wait_ended()
        finally:
            if stream in self.streams:
                self.streams.remove(stream)

    @override
    async def send_events(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(self.interval)
            now = loop.time()
            # The elapsed time instead of the interval, so that the clock of the house is right.
            await self.tick(now - last)
            last = now
