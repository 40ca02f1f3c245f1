"""Finding out what answers at an address."""

import aiohttp
from aiohttp import web
import pytest

from custom_components.energy_sse.reader import (
    READERS,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderProtocolError,
    currentlyone,
    identify,
)
from tests.conftest import Start
from tests.reader.test_client import Serve, serve
from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.wait import wait_until

__all__ = ["serve"]


async def test_whatwatt_is_found_by_its_system(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house, password="secret", name="Keller")
    await start(reader)
    with pytest.raises(ReaderAuthenticationError):
        await identify(session, reader.host)
    info, _ = await identify(session, reader.host, "secret")
    assert (info.kind, info.id, info.name) == ("whatwatt", "ECC9FF5C7F14", "Keller")
    assert reader.stream_count == 0, "another client may be reading"


async def test_currentlyone_is_found_by_its_stream_which_is_closed_again(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    info, _ = await identify(session, reader.host)
    assert (info.kind, info.id) == ("currentlyone", "b8b41879cf58")
    await wait_until(lambda: not reader.streams)


async def test_currentlyone_that_speaks_before_it_says_who_it_is_is_found(
    session: aiohttp.ClientSession, house: House, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = CurrentlyOneSimulator(house)
    config = reader.config()
    ping = 'event: ping\r\ndata: {"sec":1}'
    monkeypatch.setattr(
        reader, "config", lambda: f"{{}}\r\n\r\n{ping}\r\n\r\nevent: config\r\ndata: {config}"
    )
    await start(reader)
    assert (await identify(session, reader.host)).info.id == reader.device_id


async def test_device_that_is_no_reader_is_refused(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>It works!</html>", content_type="text/html")

    with pytest.raises(ReaderProtocolError):
        await identify(session, await serve(handler))


async def test_stream_of_something_else_is_refused(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"data: hello\n\n", content_type="text/event-stream")

    with pytest.raises(ReaderProtocolError):
        await identify(session, await serve(handler))


async def test_stream_that_never_says_who_it_is_is_given_up(
    session: aiohttp.ClientSession, house: House, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = CurrentlyOneSimulator(house)
    monkeypatch.setattr(reader, "config", lambda: "{}")
    monkeypatch.setattr(currentlyone, "_IDENTIFY_TIMEOUT", 0.2)
    await start(reader)
    with pytest.raises(ReaderConnectionError):
        await identify(session, reader.host)
    await wait_until(lambda: not reader.streams)


async def test_nobody_at_the_address_is_an_error(session: aiohttp.ClientSession) -> None:
    with pytest.raises(ReaderConnectionError):
        await identify(session, "127.0.0.1:1")


@pytest.mark.parametrize(
    ("kind", "device_id", "name"),
    [
        ("whatwatt", "ECC9FF5C7F14", "whatwatt Go 5C7F14"),
        ("currentlyone", "b8b41879cf58", "CurrentlyOne b8b418"),
        ("whatwatt", "", "whatwatt Go"),
    ],
)
def test_default_name_has_the_part_of_the_id_that_differs_between_devices(
    kind: str, device_id: str, name: str
) -> None:
    assert READERS[kind].default_name(device_id) == name
