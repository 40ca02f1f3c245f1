"""Registry of the kinds of readers, and identification of the device at an address."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import aiohttp

from .base import Reader
from .client import DeviceClient
from .currentlyone import CurrentlyOneReader
from .models import (
    AuthScheme,
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderError,
    ReaderInfo,
    ReaderMismatchError,
    ReaderProtocolError,
)
from .whatwatt import WhatwattReader

# In the order of the requests. The whatwatt comes first because it can require a password, and because its
# request is small.
READERS: Final[Mapping[str, type[Reader]]] = {
    reader.kind: reader for reader in (WhatwattReader, CurrentlyOneReader)
}


class Identity(NamedTuple):
    """Identity of a device, and the authentication scheme that it has required."""

    info: ReaderInfo
    scheme: AuthScheme


def make_reader(
    kind: str,
    session: aiohttp.ClientSession,
    host: str,
    password: str | None = None,
    auth_scheme: AuthScheme | None = None,
) -> Reader:
    """Return the reader of a kind at `host` or `host:port`.

    `auth_scheme` is the scheme that it required before, if it is known. A weaker one is rejected.
    """
    reader = READERS[kind]
    can_have_password = reader.can_have_password
    return reader(DeviceClient(session, host, password, auth_scheme, can_have_password=can_have_password))


async def identify(
    session: aiohttp.ClientSession,
    host: str,
    password: str | None = None,
    minimum: AuthScheme | None = None,
    *,
    kinds: Iterable[str] = READERS,
) -> Identity:
    """Return the identity of the device at `host` or `host:port`, which can be a reader of one of `kinds`.

    `minimum` is the weakest scheme that is accepted. Raises ReaderProtocolError if the device is not a
    reader, ReaderAuthenticationError if it requires a password or another one, ReaderAuthDowngradeError if it
    requires a weaker scheme, and ReaderConnectionError if it does not respond.
    """
    for kind in kinds:
        reader = make_reader(kind, session, host, password, minimum)
        with suppress(ReaderProtocolError):
            return Identity(await reader.identify(), reader.auth_scheme or AuthScheme.NONE)
    raise ReaderProtocolError("the device at this address is not a known reader")


async def diagnose_mismatch(error: ReaderError, reader: Reader, expected_id: str) -> ReaderError:
    """Return the error that results if another device responds in place of a reader, or the error itself."""
    for reader_class in READERS.values():
        try:
            info = await reader.probe(reader_class).identify()
        except ReaderAuthenticationError:
            if not reader.can_have_password:
                return ReaderMismatchError(None)
        except ReaderError:
            continue
        else:
            return error if info.id == expected_id else ReaderMismatchError(get_full_name(info))
    if isinstance(error, ReaderAuthDowngradeError) and error.scheme is AuthScheme.NONE:
        # Another kind of device, which does not require authentication.
        return ReaderProtocolError("the device is not a known reader")
    return error


def get_full_name(info: ReaderInfo) -> str:
    """Return the name of an identified reader, with its model."""
    reader = READERS[info.kind]
    return reader.full_name(info.name or reader.default_name(info.id))
