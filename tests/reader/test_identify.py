"""Identification of the reader at an address."""

import asyncio

import aiohttp
from aiohttp import web
import pytest

from custom_components.energy_sse.reader import (
    READERS,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderProtocolError,
    identify,
)
from tests.conftest import Start
from tests.reader.test_client import Serve, serve
from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.time_machine import TimeMachine
from tests.wait import wait_until

__all__ = ["serve"]


async def test_whatwatt_is_identified_without_its_stream(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house, password="secret", name="Keller")
    await start(reader)
    with pytest.raises(ReaderAuthenticationError):
        await identify(session, reader.host)
    info, _ = await identify(session, reader.host, "secret")
    assert (info.kind, info.id, info.name) == ("whatwatt", "ECC9FF5C7F14", "Keller")
    assert reader.stream_count == 0


async def test_currentlyone_is_identified_after_other_events(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = currentlyone.config()
    ping = 'event: ping\r\ndata: {"sec":1}'
    monkeypatch.setattr(
        currentlyone, "config", lambda: f"{{}}\r\n\r\n{ping}\r\n\r\nevent: config\r\ndata: {config}"
    )
    info, _ = await identify(session, currentlyone.host)
    assert (info.kind, info.id) == ("currentlyone", currentlyone.device_id)
    await wait_until(lambda: not currentlyone.streams)


async def test_other_stream_is_rejected(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"data: hello\n\n", content_type="text/event-stream")

    with pytest.raises(ReaderProtocolError):
        await identify(session, await serve(handler))


async def test_stream_without_an_identity_is_closed(
    session: aiohttp.ClientSession,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(currentlyone, "config", lambda: "{}")
    task = asyncio.create_task(identify(session, currentlyone.host))
    await time_machine.advance(20)
    with pytest.raises(ReaderConnectionError):
        await task
    assert not currentlyone.streams


@pytest.mark.parametrize(
    ("kind", "device_id", "name"),
    [
        ("whatwatt", "ECC9FF5C7F14", "whatwatt Go 5C7F14"),
        ("currentlyone", "b8b41879cf58", "CurrentlyOne b8b418"),
        ("whatwatt", "", "whatwatt Go"),
    ],
)
def test_default_name_has_a_part_of_the_id(kind: str, device_id: str, name: str) -> None:
    assert READERS[kind].default_name(device_id) == name
