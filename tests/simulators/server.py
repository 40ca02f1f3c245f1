"""What both simulated readers have in common: an HTTP server, its open streams, and a meter that speaks."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import ClassVar, Self, override

from aiohttp import web

from .house import House
from .port import ReservedPort, is_reserved

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stream:
    """One open event stream."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._ended = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Send bytes; a client that has gone is no error."""
        with suppress(ConnectionError):
            await self._response.write(data)

    def end(self) -> None:
        """End the answer, as a server does that has no more to say."""
        self._ended.set()

    async def wait_ended(self) -> None:
        """Wait until someone ends it."""
        await self._ended.wait()


class Server(ABC):
    """A reader on a port of this machine."""

    kind: ClassVar[str]
    """Which reader it is, as `Reader.kind` has it."""

    device_id: str

    def __init__(self) -> None:
        self.requests: list[str] = []
        """Method and path of every request, refused ones too."""

        self.streams: list[Stream] = []
        self.greeting_size = 0
        """Number of events with which the last stream began."""

        self.port = 0
        self._reserved: ReservedPort | None = None
        self._runner: web.AppRunner | None = None
        self._speaking: asyncio.Task[None] | None = None

    @property
    def host(self) -> str:
        """Where it is reached."""
        return f"127.0.0.1:{self.port}"

    @property
    def stream_count(self) -> int:
        """How often the stream has been asked for."""
        return sum(request == f"GET {self.stream_path}" for request in self.requests)

    @property
    @abstractmethod
    def stream_path(self) -> str:
        """The path of the event stream."""

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """What it answers."""

    @abstractmethod
    async def speak(self) -> None:
        """Say what it has to say by itself."""

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request; a place for what comes before every answer."""
        return await handler(request)

    async def start(self, port: int = 0, address: str = "127.0.0.1", *, live: bool = False) -> Self:
        """Listen. `live` lets it speak by itself; otherwise each word is asked for.

        If `port` is 0, a free port is reserved until this object is deleted.
        """
        if port == 0:
            self._reserved = ReservedPort(address)
            port = self._reserved.number

        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.requests.append(f"{request.method} {request.path}")
            return await self.answer(request, handler)

        app = web.Application(middlewares=[record])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port, reuse_port=is_reserved(port))
        await site.start()
        self.port = port
        if live:
            self._speaking = asyncio.create_task(self.speak())
        return self

    async def stop(self) -> None:
        """Vanish from the network."""
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None
        self.end_streams()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def end_streams(self) -> None:
        """End all streams cleanly, as a device that wants to."""
        while self.streams:
            self.streams.pop().end()

    async def broadcast(self, data: bytes) -> None:
        """Send bytes to all streams."""
        for stream in list(self.streams):
            await stream.send(data)


class Simulator(Server):
    """A reader with a meter, and a house behind it."""

    def __init__(self, house: House, *, interval: float) -> None:
        super().__init__()
        self.house = house
        self.interval = interval
        """Seconds between two telegrams of the meter."""

        self.recording: bytes | None = None
        """What to say on connect, word for word, instead of its own words."""

        self.telegrams = 0
        """How often the meter has spoken."""

    @abstractmethod
    async def send_reading(self) -> None:
        """Send what the meter says now."""

    async def tick(self, seconds: float | None = None) -> None:
        """Let the house live on for an interval, and send what follows."""
        await self.advance(self.interval if seconds is None else seconds)
        self.telegrams += 1
        await self.send_reading()

    async def advance(self, seconds: float) -> None:
        """Let the house live on."""
        for _ in self.house.advance(seconds):
            pass

    async def serve_stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        greeting: Callable[[], bytes] = lambda: b"",
    ) -> None:
        """Keep a stream open until either side ends it. What is said after the greeting is made, is sent."""
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
    async def speak(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(self.interval)
            now = loop.time()
            # Not the interval, so that the house's clock does not fall behind.
            await self.tick(now - last)
            last = now
