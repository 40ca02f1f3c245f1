"""Recordings of readers in debug logs and in downloaded diagnostics.

`custom_components/energy_sse/reader/traffic.py` writes the lines of a log.
Invalid parts of a file are ignored and reported.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
import json
from pathlib import Path
import re
from typing import Any

# Bytes. A log of a day has 6 MB, and diagnostics have 200 kB. Parsed JSON needs much more memory.
SIZE_LIMIT = 50_000_000
DIAGNOSTICS_SIZE_LIMIT = 5_000_000

_LINE = re.compile(
    r"\[custom_components\.energy_sse\.reader\.recording\] "
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) "
    r"(?P<device>\S+) (?P<what>answer|event|stream) (?P<rest>.*)"
)
_ANY_LINE = "energy_sse.reader.recording]"
_STREAM = re.compile(r"(\d+) (?:opened (/\S*)|ended)")
_EVENT = re.compile(r"(\d+) (\S+) (.*)")
_RESPONSE = re.compile(r"(/\S*) (\d{3})(?: (.*))?")

# Home Assistant's console log is colored.
_COLORS = re.compile(r"\x1b\[[0-9;]*m")

# Data of which only the length is known.
_SHAPE = re.compile(r"\*\*REDACTED\*\* \((\d{1,5}) characters\)")

_DEVICE_ID = re.compile(r'"id"\s*:\s*"([0-9A-Fa-f]{12})"')

# Characters. The log and the diagnostics do not contain longer events and responses.
_MAX_LENGTH = 16_384


class Kind(StrEnum):
    """Kind of reader, as in `Reader.kind`."""

    WHATWATT = "whatwatt"
    CURRENTLYONE = "currentlyone"


STREAM_PATHS = {Kind.WHATWATT: "/api/v1/live", Kind.CURRENTLYONE: "/events"}
IDENTITY_PATHS = {Kind.WHATWATT: "/api/v1/system", Kind.CURRENTLYONE: "/api/v1/device"}


class RecordingError(Exception):
    """A file without a recording. The text contains the reason, in one line."""


@dataclass(frozen=True)
class RecordedEvent:
    """An event of a stream."""

    at: float
    """Seconds since 1970."""

    type: str
    data: str


@dataclass(frozen=True)
class RecordedResponse:
    """A response to a request."""

    at: float
    """Seconds since 1970."""

    status: int
    body: str


@dataclass
class RecordedStream:
    """A stream from its opening to its end."""

    opened_at: float
    ended_at: float | None = None
    """None if the recording ended before the stream."""

    events: list[RecordedEvent] = field(default_factory=list)

    @property
    def introduction(self) -> list[RecordedEvent]:
        """The first events of a stream of a CurrentlyOne, up to its identity."""
        types = [event.type for event in self.events]
        return self.events[: types.index("config") + 1] if "config" in types else []

    @property
    def rest(self) -> list[RecordedEvent]:
        """The events after the introduction."""
        return self.events[len(self.introduction) :]


@dataclass
class Recording:
    """Recorded streams and responses of one reader."""

    kind: Kind
    streams: list[RecordedStream] = field(default_factory=list)
    responses: dict[str, list[RecordedResponse]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Descriptions of missing data."""

    @property
    def device_id(self) -> str:
        """Pseudonym of the device, or a default."""
        if self.kind is Kind.WHATWATT:
            texts = [response.body for response in self.responses.get(IDENTITY_PATHS[self.kind], [])]
        else:
            texts = [e.data for s in self.streams for e in s.events if e.type == "config"]
        found = [match[1] for text in texts if (match := _DEVICE_ID.search(text))]
        default = "00005E5E0000" if self.kind is Kind.WHATWATT else "00005e5e0000"
        return found[0] if found else default

    @property
    def events(self) -> list[RecordedEvent]:
        """All events."""
        return [event for stream in self.streams for event in stream.events]

    @property
    def duration(self) -> float:
        """Seconds of the replay."""
        times = [event.at for stream in self.streams for event in stream.rest or stream.introduction]
        return max(times) - min(times) if times else 0.0

    @property
    def description(self) -> list[str]:
        """Lines that describe the recording and its missing data."""
        responses = ", ".join(self.responses) or "nothing"
        return [
            f"Events: {len(self.events)} in {self.duration:.0f} s. Responses: {responses}.",
            *self.missing,
        ]


def read_all(paths: Iterable[Path]) -> list[Recording]:
    """Return the recordings in files. Raises RecordingError."""
    recordings: dict[tuple[Kind, str], Recording] = {}
    for path in paths:
        for recording in read(path):
            first = recordings.setdefault((recording.kind, recording.device_id), recording)
            if first is not recording:
                first.missing.append(f"The recording of the same reader in {path} is ignored.")
    return list(recordings.values())


def read(path: Path) -> list[Recording]:
    """Return the recordings in a file. Raises RecordingError."""
    try:
        recordings = _read(path)
    except RecordingError as error:
        raise RecordingError(f"{path} cannot be played: {error}.") from error
    for recording in recordings:
        _complete(recording)
    return recordings


def _read(path: Path) -> list[Recording]:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise RecordingError((error.strerror or "it cannot be read").lower()) from error
    if not content.lstrip().startswith(b"{"):
        return _read_log(_text_in(content, SIZE_LIMIT))
    return [_read_diagnostics(_text_in(content, DIAGNOSTICS_SIZE_LIMIT))]


def _text_in(content: bytes, limit: int) -> str:
    if len(content) > limit:
        raise RecordingError(f"it has more than {limit // 1_000_000} MB")
    return content.decode(errors="replace")


# ------------------------------------------------------------------------------------------------ a log


@dataclass
class _Device:
    """Lines of one device in a log."""

    streams: dict[str, RecordedStream] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    """Requested paths."""

    served_paths: set[str] = field(default_factory=set)
    """Paths with a successful response. A device can be asked as every kind of reader."""

    responses: dict[str, list[RecordedResponse]] = field(default_factory=dict)
    introduced: set[tuple[str, str]] = field(default_factory=set)
    """Streams and their identities."""

    def add(self, time: float, what: str, rest: str) -> bool:
        """Add a line. Return whether it is valid."""
        match what:
            case "stream":
                return self._add_stream(time, rest)
            case "event":
                return self._add_event(time, rest)
            case _:
                return self._add_response(time, rest)

    def _add_stream(self, time: float, rest: str) -> bool:
        match = _STREAM.fullmatch(rest)
        if match is None:
            return False
        number, path = match.groups()
        if path is None:
            self._stream(number, time).ended_at = time
        else:
            self.served_paths.add(path)
            self._stream(number, time)
        return True

    def _add_event(self, time: float, rest: str) -> bool:
        match = _EVENT.fullmatch(rest)
        data = None if match is None else self._text(match[3])
        if match is None or data is None:
            return False
        if match[2] == "config":
            # The identity is repeated when logging is enabled again.
            if (match[1], data) in self.introduced:
                return True
            self.introduced.add((match[1], data))
        self._stream(match[1], time).events.append(RecordedEvent(time, match[2], data))
        return True

    def _add_response(self, time: float, rest: str) -> bool:
        match = _RESPONSE.fullmatch(rest)
        body = None if match is None else self._text(match[3] or "")
        if match is None or body is None:
            return False
        self.paths.add(match[1])
        if int(match[2]) == HTTPStatus.OK:
            self.served_paths.add(match[1])
        self.responses.setdefault(match[1], []).append(RecordedResponse(time, int(match[2]), body))
        return True

    def _stream(self, number: str, time: float) -> RecordedStream:
        return self.streams.setdefault(number, RecordedStream(opened_at=time))

    @staticmethod
    def _text(written: str) -> str | None:
        """Return the data of a line, or None if they are incomplete.

        Lines of version 0.1 can have them in quotes.
        """
        if not written.startswith('"'):
            return written
        try:
            return str(json.loads(written))
        except ValueError:
            return None

    def recording(self) -> Recording | None:
        """Return the recording, or None if its kind is unknown."""
        kind = _kind_of(self.served_paths) or _kind_of(self.paths)
        if kind is None:
            return None
        streams = sorted(self.streams.values(), key=lambda stream: stream.opened_at)
        for stream in streams:
            stream.events.sort(key=lambda event: event.at)
        # A stream that only identified the device has no other events.
        streams = [stream for stream in streams if stream.rest] or streams[:1]
        responses = {
            path: sorted(responses, key=lambda each: each.at) for path, responses in self.responses.items()
        }
        return Recording(kind, streams, responses)


def _kind_of(paths: set[str]) -> Kind | None:
    for kind in Kind:
        if STREAM_PATHS[kind] in paths:
            return kind
    return next((kind for kind in Kind if IDENTITY_PATHS[kind] in paths), None)


def _read_log(text: str) -> list[Recording]:
    devices: dict[str, _Device] = {}
    skipped = 0
    # The last line can be incomplete.
    *lines, unfinished = text.split("\n")
    for line in lines:
        if _ANY_LINE not in line:
            continue
        match = _LINE.search(_COLORS.sub("", line).rstrip("\r"))
        time = None if match is None else _time_in(match["time"])
        if match is None or time is None:
            skipped += 1
            continue
        device = devices.setdefault(match["device"], _Device())
        skipped += not device.add(time, match["what"], match["rest"])
    recordings = [found for device in devices.values() if (found := device.recording()) is not None]
    if not recordings:
        raise RecordingError(
            "it is neither a log with debug logging of the integration on, nor its diagnostics"
        )
    if skipped or _ANY_LINE in unfinished:
        count = skipped + (_ANY_LINE in unfinished)
        recordings[0].missing.append(f"{count} of its lines are invalid, and are ignored.")
    return recordings


# -------------------------------------------------------------------------------------------- diagnostics


def _read_diagnostics(text: str) -> Recording:
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError("it is not JSON, or incomplete; download it again") from error
    domain = _inner(payload, "integration_manifest").get("domain")
    if domain not in (None, "energy_sse"):
        raise RecordingError("it contains the diagnostics of another integration")
    data = _inner(payload, "data")
    try:
        kind = Kind(str(_inner(data, "entry", "data").get("kind")))
    except ValueError as error:
        raise RecordingError("it is JSON, but not diagnostics of the integration") from error
    recording = Recording(kind)
    if "recent_events" not in data:
        raise RecordingError("its reader was not set up, so that it contains no events")
    events = data["recent_events"]
    valid = [event for event in events if _is_event(event)] if isinstance(events, list) else []
    recorded = [
        RecordedEvent(_time_in(event["time"]) or 0.0, event["type"], _text_of(event.get("data")))
        for event in valid
    ]
    recording.streams = _streams_of(recorded)
    if isinstance(events, list) and len(valid) < len(events):
        recording.missing.append(f"{len(events) - len(valid)} of its events are invalid, and are ignored.")
    responses = data.get("answers")
    for response in responses if isinstance(responses, list) else ():
        if isinstance(response, dict) and isinstance(path := response.get("path"), str):
            status = response.get("status")
            recording.responses.setdefault(path, []).append(
                RecordedResponse(
                    _time_in(response.get("time")) or 0.0,
                    status if isinstance(status, int) and 100 <= status <= 599 else 200,
                    _text_of(response.get("data")),
                )
            )
    return recording


def _is_event(event: object) -> bool:
    return (
        isinstance(event, dict)
        and isinstance(event.get("type"), str)
        and _time_in(event.get("time")) is not None
    )


def _streams_of(events: list[RecordedEvent]) -> list[RecordedStream]:
    """Return events by stream. A CurrentlyOne begins each one with a status and its identity."""
    streams: list[RecordedStream] = []
    for index, event in enumerate(events):
        follows = events[index + 1].type if index + 1 < len(events) else ""
        before = streams[-1].events[-1].type if streams and streams[-1].events else ""
        begins = (event.type == "config" and before != "status") or (
            event.type == "status" and follows == "config"
        )
        if not streams or (begins and streams[-1].rest):
            if streams:
                streams[-1].ended_at = event.at
            streams.append(RecordedStream(opened_at=event.at))
        streams[-1].events.append(event)
    return streams


def _inner(payload: Any, *path: str) -> dict[str, Any]:
    for key in path:
        payload = payload.get(key) if isinstance(payload, dict) else None
    return payload if isinstance(payload, dict) else {}


def _time_in(text: object) -> float | None:
    try:
        return datetime.fromisoformat(text if isinstance(text, str) else "").timestamp()
    except ValueError, OverflowError:
        return None


def _text_of(data: object) -> str:
    return data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))


def _complete(recording: Recording) -> None:
    """Add the identity if it is missing, and describe missing data."""
    bodies = [response.body for responses in recording.responses.values() for response in responses]
    lengths = [
        int(match[1])
        for text in (*bodies, *(event.data for event in recording.events))
        if (match := _SHAPE.fullmatch(text))
    ]
    if too_long := sum(length > _MAX_LENGTH for length in lengths):
        recording.missing.append(f"{too_long} events or responses were too long, and are missing.")
    for stream in recording.streams:
        stream.events = [_sendable(event) for event in stream.events]
    if not recording.events:
        recording.missing.append("It has no events.")
        recording.streams = recording.streams or [RecordedStream(opened_at=0.0)]
    if recording.kind is Kind.WHATWATT:
        responses = recording.responses.setdefault("/api/v1/system", [])
        if not any(_DEVICE_ID.search(response.body) for response in responses):
            recording.missing.append("It has no response of /api/v1/system, and gets a default one.")
            system = {"device": {"id": recording.device_id}, "meter": {"status": "OK"}}
            responses[:] = [RecordedResponse(0.0, 200, json.dumps(system))]
        return
    introductions = [stream.introduction for stream in recording.streams if stream.introduction]
    if not introductions:
        recording.missing.append("It has no config event, and gets a default one.")
        first = recording.streams[0]
        at = first.events[0].at if first.events else first.opened_at
        time = datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
        introductions = [
            [RecordedEvent(at, "config", json.dumps({"id": recording.device_id, "m": "HAN", "t": time}))]
        ]
    for stream in recording.streams:
        if not stream.introduction:
            stream.events[:0] = introductions[0]


def _sendable(event: RecordedEvent) -> RecordedEvent:
    """Return an event that can be sent, with a text of the recorded length instead of a redacted one."""
    if match := _SHAPE.fullmatch(event.data):
        return RecordedEvent(event.at, event.type, "x" * int(match[1]))
    return RecordedEvent(event.at, re.sub(r"[\r\n\0]", " ", event.type), event.data)
