"""Finding out which reader, if any, answers at an address."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import aiohttp

from .base import Reader
from .currentlyone import CurrentlyOneReader
from .exceptions import ReaderProtocolError
from .http import DeviceHttp
from .messages import ReaderInfo, ReaderKind
from .whatwatt import WhatwattReader

# In the order of asking. The whatwatt goes first: it is the one that may want a password, and its request is
# a small one.
READERS: Final[Mapping[ReaderKind, type[Reader]]] = {
    reader.kind: reader for reader in (WhatwattReader, CurrentlyOneReader)
}


def make_reader(
    kind: ReaderKind, session: aiohttp.ClientSession, host: str, password: str | None = None
) -> Reader:
    """Return the reader of a kind at `host` or `host:port`."""
    return READERS[kind](DeviceHttp(session, host, password))


async def identify(session: aiohttp.ClientSession, host: str, password: str | None = None) -> ReaderInfo:
    """Ask `host` or `host:port` which reader it is.

    Raises ReaderProtocolError when it is none, ReaderAuthenticationError when it wants a password or another
    one, and ReaderConnectionError when it does not answer.
    """
    for kind in READERS:
        with suppress(ReaderProtocolError):
            return await make_reader(kind, session, host, password).identify()
    raise ReaderProtocolError("no known reader answers at this address")


def default_name(kind: ReaderKind, device_id: str) -> str:
    """Return a name for a device whose owner gave it none, with the telling part of its id."""
    # Half of a MAC address is its manufacturer's: the first one of the whatwatt's id, and the last one of the
    # CurrentlyOne's, which is written backwards.
    part = device_id[-6:] if kind is ReaderKind.WHATWATT else device_id[:6]
    return f"{READERS[kind].model} {part}"
