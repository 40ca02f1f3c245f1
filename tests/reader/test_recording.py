"""What a device says, in the log."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
import json
import logging
from pathlib import Path
import re

import aiohttp
import pytest

from custom_components.energy_sse.reader import READERS, ReaderProtocolError, make_reader
from custom_components.energy_sse.reader.models import Heartbeat, Message
from custom_components.energy_sse.reader.recording import LOGGER
from custom_components.energy_sse.reader.redaction import MAX_LENGTH, REDACTOR
from tests.simulators import CurrentlyOneSimulator, WhatwattSimulator
from tests.simulators.recordings import read

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (anon-[0-9a-f]{8}) (answer|event|stream) (.*)")
PING = b'event: ping\ndata: {"sec":1744357696}\n\n'
CONFIG = b'event: config\ndata: {"id":"b8b41879cf58","name":"Casa Mia"}\n\n'


def lines_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was recorded, without times, the device and the numbers of streams."""
    lines = []
    for record in caplog.records:
        if record.name == LOGGER.name:
            match = LINE.fullmatch(record.getMessage())
            assert match is not None, record.getMessage()
            lines.append(re.sub(r"^((?:event|stream)) \d+ ", r"\1 ", f"{match[3]} {match[4]}"))
    return lines


def record(caplog: pytest.LogCaptureFixture, *, on: bool = True) -> None:
    caplog.set_level(logging.DEBUG if on else logging.INFO, LOGGER.name)


def connect(session: aiohttp.ClientSession, reader: CurrentlyOneSimulator) -> AsyncGenerator[Message]:
    return make_reader("currentlyone", session, reader.host).stream()


async def hear_pings(messages: AsyncGenerator[Message], count: int) -> None:
    while count > 0:
        count -= isinstance(await anext(messages), Heartbeat)


async def test_events_and_answers_are_lines_in_their_order(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    record(caplog)
    currentlyone.recording = CONFIG + b'event: state\ndata: {"W":606.50, "U1":230.000}\n\n' + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await hear_pings(messages, 1)
    device_id, name = REDACTOR.pseudonym("b8b41879cf58"), REDACTOR.pseudonym("Casa Mia")
    inventory = json.dumps(currentlyone.inventory())
    assert lines_in(caplog) == [
        "stream opened /events",
        f'event config {{"id":"{device_id}","name":"{name}"}}',
        f"answer /api/v1/device 200 {REDACTOR.json(inventory)}",
        'event state {"W":606.50, "U1":230.000}',
        'event ping {"sec":1744357696}',
        "stream ended",
    ]


async def test_recording_that_begins_later_begins_with_what_was_said_before(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    record(caplog, on=False)
    currentlyone.recording = CONFIG + 3 * PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await hear_pings(messages, 2)
        assert lines_in(caplog) == []
        record(caplog)
        await hear_pings(messages, 1)
        words = [line.split()[:2] for line in lines_in(caplog)]
        beginning = [["answer", "/api/v1/device"], ["stream", "opened"], ["event", "config"]]
        assert words == [*beginning, ["event", "ping"]]
        times = [record.getMessage().split()[0] for record in caplog.records if record.name == LOGGER.name]
        in_their_order = [times[1], times[2], times[3], times[0]]
        assert in_their_order == sorted(in_their_order), "each has the time at which it was said"

        record(caplog, on=False)
        await currentlyone.broadcast(PING)
        await hear_pings(messages, 1)
        record(caplog)
        await currentlyone.broadcast(2 * PING)
        await hear_pings(messages, 2)
        words = [line.split()[:2] for line in lines_in(caplog)][len(words) :]
        assert words == [*beginning, ["event", "ping"], ["event", "ping"]]


async def test_while_it_is_off_an_event_costs_one_look(
    session: aiohttp.ClientSession,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def look(_level: int) -> bool:
        nonlocal looks
        looks += 1
        return False

    def write(*_: object) -> None:
        pytest.fail("something was written")

    monkeypatch.setattr(LOGGER, "isEnabledFor", look)
    monkeypatch.setattr(LOGGER, "debug", write)
    currentlyone.recording = CONFIG + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await hear_pings(messages, 1)
        before = looks
        await currentlyone.broadcast(100 * PING)
        await hear_pings(messages, 100)
        assert looks - before == 100


async def test_whatever_arrives_stays_one_line(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    record(caplog)
    odd = [
        '{"W":1}\ndata: {"W":2}',
        '{"W":\t1}',
        '"Casa"',
        '{"W":1}\x1b[31m\u2028',
        f'{{"W":{"1" * 20_000}}}',
    ]
    currentlyone.recording = CONFIG + "".join(f"event: new\ndata: {data}\n\n" for data in odd).encode() + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await hear_pings(messages, len(odd) + 1)
    assert [line for line in lines_in(caplog) if line.startswith("event new")] == [
        f"event new {json.dumps('{"W":1}\n{"W":2}')}",
        f"event new {json.dumps('{"W":\t1}')}",
        f"event new {json.dumps(f'"{REDACTOR.pseudonym("Casa")}"')}",
        f"event new {json.dumps('{"W":1}\x1b[00x\u2028')}",
        f'event new (the first {MAX_LENGTH} characters) {{"W":{"1" * (MAX_LENGTH - 5)}',
    ]


async def test_type_of_an_event_is_a_word(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    record(caplog)
    currentlyone.recording = CONFIG + b"event: Casa Mia\ndata: {}\n\nevent: anew\ndata: {}\n\n" + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await hear_pings(messages, 3)
    lines = lines_in(caplog)
    assert f"event {REDACTOR.pseudonym('Casa Mia')} {{}}" in lines
    assert "event anew {}" in lines


async def test_what_a_device_does_not_have_is_recorded_too(
    session: aiohttp.ClientSession,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    record(caplog)
    reader = make_reader("whatwatt", session, whatwatt.host)
    assert await reader.poll() is None
    with pytest.raises(ReaderProtocolError):
        await make_reader("whatwatt", session, currentlyone.host).identify()
    assert lines_in(caplog) == ["answer /api/v1/report 404", "answer /api/v1/system 404"]
    assert reader.stats.responses["/api/v1/report"].status == 404


async def test_reader_that_was_asked_as_every_kind_is_replayed_as_its_own(
    session: aiohttp.ClientSession,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    record(caplog)
    for reader in (whatwatt, currentlyone):
        caplog.clear()
        for kind in READERS:
            with suppress(ReaderProtocolError):
                await make_reader(kind, session, reader.host).identify()
        log = tmp_path / f"{reader.kind}.log"
        lines = (f"[{record.name}] {record.getMessage()}\n" for record in caplog.records)
        log.write_text("".join(lines))
        (recording,) = read(log)
        assert recording.kind == reader.kind
