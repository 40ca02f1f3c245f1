"""Replay of a recording as a simulated reader."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
import math
import re
from typing import override

from aiohttp import web

from .currentlyone import UnchunkedResponse
from .recordings import STREAM_PATHS, Kind, RecordedEvent, RecordedResponse, RecordedStream, Recording
from .server import Server, Stream

# Seconds. A client that only identifies the reader closes the stream within this time.
_GRACE = 1.0

# Seconds. After this time without a client, the recording continues from where it stopped.
_LATE = 60.0

_SECONDS = re.compile(r'("sec"\s*:\s*)(\d{9,10})\b')
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_DATE_AND_TIME = re.compile(
    r'("date"\s*:\s*")(\d{4}-\d\d-\d\d)("\s*,\s*"time"\s*:\s*")(\d\d:\d\d:\d\d)', re.IGNORECASE
)


class ReplayedReader(Server):
    """Simulated reader that sends a recording, at its original speed or faster. It waits for a client.

    Times of the recording become current times with the same distances.
    Registers on the hour stay on the hour.
    """

    def __init__(self, recording: Recording, *, speed: float = 1.0, loop: bool = False) -> None:
        super().__init__()
        self.kind = recording.kind  # type: ignore[misc] # an attribute of the instance
        self.device_id = recording.device_id
        self.recording = recording
        self.has_ended = asyncio.Event()
        """Set at the end of the recording, unless it is repeated."""

        self._speed = speed
        self._loop = loop
        self._is_away = False
        self._has_client = asyncio.Event()
        self._playing: RecordedStream = recording.streams[0]
        self._began = datetime.now(UTC).timestamp() - asyncio.get_running_loop().time()
        # A time of the recording, and the time of its replay.
        self._recorded_at = -math.inf
        self._played_at = 0.0

    @property
    @override
    def stream_path(self) -> str:
        return STREAM_PATHS[self.recording.kind]

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        yield web.get(self.stream_path, self._get_stream)
        for path in self.recording.responses:
            if path != self.stream_path:
                yield web.get(path, self._get_response)
        yield web.post("/api/v1/reboot", self._post_reboot)

    # ------------------------------------------------------------------------------------------- playing

    @override
    async def send_events(self) -> None:
        while True:
            for stream in self.recording.streams:
                await self._play(stream)
            if not self._loop:
                break
            self._recorded_at = -math.inf
            self.end_streams()
        self.has_ended.set()

    async def _play(self, stream: RecordedStream) -> None:
        if stream is not self._playing:
            await self._until(stream.opened_at)
            self._playing, self._is_away = stream, False
        for event in stream.rest:
            await self._wait_for_a_client(event.at)
            await self._until(event.at)
            await self._wait_for_a_client(event.at)
            await self.broadcast(self._encoded(event, self._shifted(event)))
        if stream is not self.recording.streams[-1]:
            await self._until(stream.ended_at or stream.events[-1].at)
            self._is_away = True
            self.end_streams()

    async def _wait_for_a_client(self, at: float) -> None:
        while not self.streams:
            self._has_client.clear()
            await self._has_client.wait()
        if self._now() > self._due(at) + _LATE or math.isinf(self._recorded_at):
            self._recorded_at, self._played_at = at, self._now()

    async def _until(self, at: float) -> None:
        wait = self._due(at) - self._now()
        if wait > 0:
            await asyncio.sleep(wait)

    def _due(self, at: float) -> float:
        """Return the time of the replay of a time of the recording."""
        if math.isinf(self._recorded_at):
            return self._now()
        return self._played_at + (at - self._recorded_at) / self._speed

    def _now(self) -> float:
        """Return the seconds since 1970, by the clock of the event loop."""
        return self._began + asyncio.get_running_loop().time()

    # ------------------------------------------------------------------------------------------ the times

    def _shifted(self, event: RecordedEvent) -> str:
        """Return the data of an event with current times."""
        by = self._due(event.at) - event.at
        if event.type == "hourly":
            hours = int(by // 3600) * 3600
            return _SECONDS.sub(lambda match: f"{match[1]}{int(match[2]) + hours}", event.data)
        data = _SECONDS.sub(lambda match: f"{match[1]}{self._moved(int(match[2]))}", event.data)
        return _with_dates_moved(data, by)

    def _moved(self, stamp: int) -> int:
        """Return the current time of a time of the device. Equal times stay equal."""
        since = stamp - self._recorded_at
        # Earlier times keep their distance. They are rounded up, so that their order with the connect is the
        # same for any fraction of a second.
        return math.ceil(self._played_at + (since / self._speed if since > 0 else since))

    # ------------------------------------------------------------------------------------------ responses

    async def _get_stream(self, request: web.Request) -> web.StreamResponse:
        if self._is_away:
            return web.Response(status=503)
        is_whatwatt = self.recording.kind is Kind.WHATWATT
        response = (web.StreamResponse if is_whatwatt else UnchunkedResponse)(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        if is_whatwatt:
            self.end_streams()
        else:
            response.force_close()
        await response.prepare(request)
        stream = Stream(response)
        if introduction := self._playing.introduction:
            by = self._now() - introduction[-1].at
            for event in introduction:
                await stream.send(self._encoded(event, _with_dates_moved(event.data, by)))
            await asyncio.sleep(_GRACE)
        self.streams.append(stream)
        self._has_client.set()
        try:
            await stream.wait_ended()
        finally:
            if stream in self.streams:
                self.streams.remove(stream)
        return response

    def _encoded(self, event: RecordedEvent, data: str) -> bytes:
        newline = "\n" if self.recording.kind is Kind.WHATWATT else "\r\n"
        lines = [f"event: {event.type}", *(f"data: {line}" for line in re.split(r"\r\n|\r|\n", data)), "", ""]
        return newline.join(lines).encode(errors="replace")

    async def _get_response(self, request: web.Request) -> web.Response:
        response = self._current_response(self.recording.responses[request.path])
        if response.status != 200:
            return web.Response(status=response.status)
        body = _with_dates_moved(response.body, self._now() - response.at)
        return web.Response(text=body, content_type="application/json")

    def _current_response(self, responses: list[RecordedResponse]) -> RecordedResponse:
        now = self._now()
        sent = [response for response in responses if self._due(response.at) <= now]
        return sent[-1] if sent and not math.isinf(self._recorded_at) else responses[0]

    async def _post_reboot(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)


def _with_dates_moved(text: str, by: float) -> str:
    """Return a text with its dates and times moved by seconds. Invalid ones are not changed."""
    delta = timedelta(seconds=round(by))

    def moved(date: str, time: str) -> datetime | None:
        try:
            return datetime.fromisoformat(f"{date}T{time}") + delta
        except ValueError, OverflowError:
            return None

    def move_pair(match: re.Match[str]) -> str:
        moment = moved(match[2], match[4])
        return match[0] if moment is None else f"{match[1]}{moment:%Y-%m-%d}{match[3]}{moment:%H:%M:%S}"

    def move(match: re.Match[str]) -> str:
        moment = moved(*match[0].split("T"))
        return match[0] if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}"

    return _MOMENT.sub(move, _DATE_AND_TIME.sub(move_pair, text))
