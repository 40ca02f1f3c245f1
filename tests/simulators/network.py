"""Network with faults between Home Assistant and a simulated reader."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
import socket
from typing import Self

from .port import ReservedPort, is_reserved
from .server import Simulator

type Responder = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
type Mangle = Callable[[bytes], Iterable[bytes]]

HEAD_END = b"\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def _read_chunk(stream: asyncio.StreamReader) -> bytes:
    """Return the next chunk of a chunked response, which is empty at its end."""
    size = int(await stream.readuntil(b"\r\n"), 16)
    chunk = await stream.readexactly(size)
    await stream.readexactly(2)
    return chunk


async def close_connection(_client: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close the connection without a response, as the proxy does when this has returned."""


class FaultyNetwork:
    """Proxy of a reader that forwards data, or injects faults."""

    def __init__(self, reader: Simulator) -> None:
        self.reader = reader
        self.port = 0
        self._reserved: ReservedPort | None = None

        self.respond: Responder | None = None
        """Function that responds to requests instead of the reader."""

        self.only_the_stream = False
        """True if `respond` handles only requests of the event stream."""

        self.mangle: Mangle | None = None
        """Function that splits or changes each piece of an event stream."""

        self.extra_head = b""
        """Additional headers of an event stream."""

        self.is_frozen = False
        """True if open connections do not forward data."""

        self._server: asyncio.Server | None = None
        self._full_queue: list[socket.socket] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def host(self) -> str:
        """Address of the proxy."""
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> Self:
        """Listen. If `port` is 0, a free port is reserved until this object is deleted."""
        if port == 0:
            self._reserved = ReservedPort("127.0.0.1")
            port = self._reserved.number
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, reuse_port=is_reserved(port)
        )
        self.port = port
        return self

    async def stop(self) -> None:
        """Refuse connections, and end the open ones."""
        for filler in self._full_queue:
            filler.close()
        self._full_queue.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def ignore_connections(self) -> None:
        """Neither accept nor refuse connections."""
        await self.stop()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._full_queue.append(listener)
        # A full queue drops further connections.
        for _ in range(2):
            client = socket.socket()
            client.settimeout(0)
            client.connect_ex(("127.0.0.1", self.port))
            self._full_queue.append(client)

    async def cut(self, *, reset: bool = True) -> None:
        """End all connections, with a reset or in an orderly way."""
        for writer in list(self._writers):
            if reset:
                writer.transport.abort()
            else:
                writer.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.sleep(0)

    async def _serve(self, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._writers.add(writer)
        try:
            await self._forward_requests(client, writer)
        except ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError:
            pass
        finally:
            self._connections.discard(task)
            self._writers.discard(writer)
            with suppress(ConnectionError):
                writer.close()

    async def _forward_requests(self, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward requests one after the other, each by its own connection to the reader."""
        while True:
            head = await client.readuntil(HEAD_END)
            is_stream = self.reader.stream_path.encode() in head.partition(b"\r\n")[0]
            if self.respond is not None and (is_stream or not self.only_the_stream):
                await self.respond(client, writer)
                return
            upstream, upstream_writer = await asyncio.open_connection("127.0.0.1", self.reader.port)
            try:
                upstream_writer.write(head)
                response_head = await upstream.readuntil(HEAD_END)
                is_stream = is_stream and response_head.startswith(b"HTTP/1.1 200")
                pass_on = self._pass_stream if is_stream else self._pass_response
                await pass_on(response_head, upstream, writer)
            finally:
                upstream_writer.close()
            if is_stream:
                return

    async def _pass_stream(
        self, head: bytes, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        is_chunked = CHUNKED in head
        writer.write(head.replace(CHUNKED, b"").removesuffix(b"\r\n") + self.extra_head + b"\r\n")
        while piece := await (_read_chunk(upstream) if is_chunked else upstream.read(65536)):
            if self.is_frozen:
                await asyncio.Event().wait()
            for part in self.mangle(piece) if self.mangle else (piece,):
                writer.write(part)
                await writer.drain()
                # Parts that are written separately arrive separately.
                await asyncio.sleep(0)

    async def _pass_response(
        self, head: bytes, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        writer.write(head + await upstream.readexactly(length))
        await writer.drain()
