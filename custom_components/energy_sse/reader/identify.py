"""Finding out which reader, if any, answers at an address."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import aiohttp

from .base import Reader
from .client import DeviceClient
from .currentlyone import CurrentlyOneReader
from .exceptions import (
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderError,
    ReaderMismatchError,
    ReaderProtocolError,
)
from .models import AuthScheme, ReaderInfo, ReaderKind
from .whatwatt import WhatwattReader

# In the order of asking. The whatwatt goes first: it is the one that may want a password, and its request is
# a small one.
READERS: Final[Mapping[ReaderKind, type[Reader]]] = {
    reader.kind: reader for reader in (WhatwattReader, CurrentlyOneReader)
}


class Identity(NamedTuple):
    """Which reader answers, and how it has let us in."""

    info: ReaderInfo
    auth_scheme: AuthScheme


def make_reader(
    kind: ReaderKind,
    session: aiohttp.ClientSession,
    host: str,
    password: str | None = None,
    auth_scheme: AuthScheme | None = None,
) -> Reader:
    """Return the reader of a kind at `host` or `host:port`.

    `auth_scheme` is how it has let us in before, if that is known: it is not believed with a weaker one.
    """
    reader = READERS[kind]
    can_have_password = reader.can_have_password
    return reader(DeviceClient(session, host, password, auth_scheme, can_have_password=can_have_password))


async def identify(
    session: aiohttp.ClientSession,
    host: str,
    password: str | None = None,
    auth_scheme: AuthScheme | None = None,
    *,
    kinds: Iterable[ReaderKind] = READERS,
) -> Identity:
    """Ask `host` or `host:port` which reader of some kinds it is.

    `auth_scheme` is the weakest that is right. Raises ReaderProtocolError when it is no reader,
    ReaderAuthenticationError when it wants a password or another one, ReaderAuthDowngradeError when it is
    content with a weaker login, and ReaderConnectionError when it does not answer.
    """
    for kind in kinds:
        reader = make_reader(kind, session, host, password, auth_scheme)
        with suppress(ReaderProtocolError):
            return Identity(await reader.identify(), reader.auth_scheme or AuthScheme.NONE)
    raise ReaderProtocolError("no known reader answers at this address")


async def explain(error: ReaderError, reader: Reader, expected_id: str) -> ReaderError:
    """Find out whether another device answers in place of a reader. Returns what that makes of an error."""
    for kind in READERS.values():
        try:
            info = await reader.as_kind(kind).identify()
        except ReaderAuthenticationError:
            if not reader.can_have_password:
                return ReaderMismatchError(None)
        except ReaderError:
            continue
        else:
            return error if info.id == expected_id else ReaderMismatchError(name_of(info))
    if isinstance(error, ReaderAuthDowngradeError) and error.scheme is AuthScheme.NONE:
        # A page for everybody, from something else.
        return ReaderProtocolError("what answers is no reader")
    return error


def name_of(info: ReaderInfo) -> str:
    """Return what to call a reader that has said who it is."""
    return full_name(info.kind, info.name or default_name(info.kind, info.id))


def full_name(kind: ReaderKind, name: str) -> str:
    """Return the name of a reader with its product, as its owner may know it by either."""
    model = READERS[kind].model
    return name if model.lower() in name.lower() else f"{name} ({model})"


def default_name(kind: ReaderKind, device_id: str) -> str:
    """Return a name for a device whose owner gave it none, with the telling part of its id."""
    # Half of a MAC address is its manufacturer's: the first one of the whatwatt's id, and the last one of the
    # CurrentlyOne's, which is written backwards.
    part = device_id[-6:] if kind is ReaderKind.WHATWATT else device_id[:6]
    return f"{READERS[kind].model} {part}".strip()
