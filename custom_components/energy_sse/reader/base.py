"""Base class and registry of the kinds of readers, and identification of the device at an address."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple, Protocol, runtime_checkable

import aiohttp

from .client import DeviceClient
from .computed import get_computed_units
from .freshness import Freshness
from .models import (
    AuthScheme,
    Measurement as M,
    Message,
    Property,
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderError,
    ReaderInfo,
    ReaderMismatchError,
    ReaderProtocolError,
    ReaderStatus,
    Reading,
    Reason,
    Unit,
)
from .payload import get_nested, get_number, get_text, parse_numbers
from .redaction import add_vocabulary

type Fields = Mapping[str, tuple[M, Unit]]
"""Key of the protocol → measurement and unit."""

type KeyPath = tuple[str, ...]
"""Keys that lead to a value in nested objects."""


class Announcement(NamedTuple):
    """Service that a device announces by mDNS."""

    type: str
    """Type of the service, for example `_http._tcp.local.`."""

    name: str
    """Name of the instance, without its type."""

    properties: Mapping[str, object]
    """TXT record. A value can be anything."""


class Poll(NamedTuple):
    """Response of a reader to a request for its values."""

    message: Reading | ReaderStatus
    """The status if there is no new reading."""

    interval: float
    """Seconds until the next poll."""


class Reader(ABC):
    """Client of one device that reads one meter.

    The differences between the kinds of readers are attributes and methods of the subclasses.
    """

    kind: ClassVar[str]
    """Name of this kind in config entries. It must not change, because it is stored there."""

    manufacturer: ClassVar[str]
    model: ClassVar[str]

    fields: ClassVar[Fields]
    """Measurement and unit of each key of its readings."""

    units: ClassVar[Mapping[M, Unit]]
    """Units of the measurements that its readings can have. They follow from `fields`."""

    numbers: ClassVar[Mapping[KeyPath, Property]] = {}
    """Paths of the numbers in its status."""

    texts: ClassVar[Mapping[KeyPath, Property]] = {}
    """Paths of the texts in its status."""

    stream_path: ClassVar[str]
    identity_path: ClassVar[str | None] = None
    """Path of the response with the id of the device; None if the stream contains it."""

    key_missing_statuses: ClassVar[frozenset[str]] = frozenset()
    """Values of `Property.METER_STATUS` if the reader needs a key to decrypt what the meter sends."""

    stores_hours: ClassVar[bool] = False
    """True if the stream repeats the registers of the last hours (`HourlyRegister`)."""

    can_have_password: ClassVar[bool] = False
    """True if the owner can set a password."""

    serves_one_stream: ClassVar[bool] = False
    """True if a second client takes the stream from the first one."""

    dhcp_hostnames: ClassVar[tuple[str, ...]] = ()
    """Prefixes of its host name in DHCP leases, in lower case."""

    safe_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys whose texts are words of the firmware. Logs and diagnostics show them as they are."""

    protocol_words: ClassVar[frozenset[str]] = frozenset()
    """Types of events, keys in addition to `fields`, and words of texts that are not JSON.

    Logs and diagnostics show them even if the owner gives something the same name.
    """

    recoverable_keys: ClassVar[tuple[str, ...]] = ()
    """Keys whose texts can be parsed from an object that is not valid JSON."""

    def __init_subclass__(cls) -> None:
        """Set the units of a kind, and exempt the words of its protocol from redaction."""
        cls.units = _units_of(cls.fields)
        add_vocabulary(cls.safe_keys, cls.protocol_words | cls.fields.keys(), cls.recoverable_keys)

    def __init__(self, http: DeviceClient) -> None:
        """Initialize without connecting."""
        self._http = http
        self.stats = http.stats
        self.freshness = Freshness()
        """Interval and age of the readings. The consumer of the readings updates it for the stream."""

    # ------------------------------------------------------------------------------------- discovery

    @classmethod
    @abstractmethod
    def id_in_announcement(cls, announcement: Announcement) -> str | None:
        """Return the id of the device that an announcement is about.

        It is empty if the announcement does not contain it, and None for another kind of device.
        """

    @classmethod
    def ids_in_lease(cls, mac_address: str, hostname: str) -> Sequence[str]:  # noqa: ARG003 (for other kinds)
        """Return the ids that a device with a MAC address can have, the most probable one first.

        The MAC address is 12 hexadecimal digits. It and the host name are in lower case.
        """
        return ()

    # ---------------------------------------------------------------------------------------- names

    @classmethod
    def short_id(cls, device_id: str) -> str:
        """Return the part of an id that differs between devices."""
        return device_id[-6:]

    @classmethod
    def default_name(cls, device_id: str) -> str:
        """Return the name of a device without a name. The id can be empty."""
        return f"{cls.model} {cls.short_id(device_id)}".strip()

    @classmethod
    def full_name(cls, name: str) -> str:
        """Return the name of a device with its model, because its owner may know either."""
        return name if cls.model.lower() in name.lower() else f"{name} ({cls.model})"

    # --------------------------------------------------------------------------------------- status

    @classmethod
    def parse_properties(cls, payload: Mapping[str, Any]) -> dict[Property, str | float | bool | datetime]:
        """Return the numbers and texts of a status, where every key may be missing."""
        values: dict[Property, str | float | bool | datetime] = {}
        for (*path, key), name in cls.numbers.items():
            if (number := get_number(get_nested(payload, path), key)) is not None:
                values[name] = number
        for (*path, key), name in cls.texts.items():
            if (text := get_text(get_nested(payload, path), key)) is not None:
                values[name] = text
        return values

    # ------------------------------------------------------------------------------------ connection

    @property
    def auth_scheme(self) -> AuthScheme | None:
        """Authentication scheme of the device; None while it is not known."""
        return self._http.auth_scheme

    @property
    def host(self) -> str:
        """Address of the device: `host` or `host:port`."""
        return self._http.host

    def move_to(self, host: str, *, is_trusted: bool) -> None:
        """Send the next requests to another address.

        The password is sent unencrypted to a trusted address only.
        """
        self._http.move_to(host, is_trusted=is_trusted)

    def with_host(self, host: str) -> Reader:
        """Return the same reader at another address that its owner trusts."""
        return type(self)(self._http.with_host(host))

    def probe(self, kind: str) -> Reader:
        """Return a reader of the given kind at the same address, without the password."""
        return make_reader(kind, self._http.session, self.host)

    @abstractmethod
    async def identify(self) -> ReaderInfo:
        """Request the identity of the device. Raises a ReaderError."""

    async def poll(self) -> Poll | None:
        """Request the values, or the status, without the stream.

        Returns None if the device does not support it. Raises a ReaderError.
        """
        return None

    @abstractmethod
    def stream(self) -> AsyncGenerator[Message]:
        """Connect once and yield messages until the stream ends.

        A `ReaderInfo` comes before the first reading. Invalid events are skipped. Raises a ReaderError.
        """


@runtime_checkable
class Restartable(Protocol):
    """Reader that can be restarted."""

    async def restart(self) -> None:
        """Restart the device. Raises a ReaderError."""


def _units_of(fields: Fields) -> Mapping[M, Unit]:
    """Return the units of the measurements of a protocol and of the computed measurements."""
    units = dict(fields.values())
    if (net := units.get(M.ACTIVE_POWER_NET)) is not None:
        units |= {M.ACTIVE_POWER_IMPORT: net, M.ACTIVE_POWER_EXPORT: net}
    units |= get_computed_units(units)
    return units | dict.fromkeys((M.READER_CLOCK_OFFSET, M.METER_CLOCK_OFFSET), Unit.SECOND)


def measurement_names(fields: Fields) -> Mapping[str, M]:
    """Return the measurement of each key."""
    return {key: measurement for key, (measurement, _) in fields.items()}


def parse_measurements(payload: Mapping[str, Any], names: Mapping[str, M]) -> dict[M, float]:
    """Return the measurements in a payload.

    If a meter sends net power with a sign, import and export are computed from it.
    """
    values = parse_numbers(payload, names)
    if (net := values.get(M.ACTIVE_POWER_NET)) is not None:
        values[M.ACTIVE_POWER_IMPORT], values[M.ACTIVE_POWER_EXPORT] = max(0, net), max(0, -net)
    return values


READERS: Final[dict[str, type[Reader]]] = {}
"""Kinds of readers by name, in the order of the requests to an unknown device."""


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
    reader_class = READERS[kind]
    can_have_password = reader_class.can_have_password
    return reader_class(
        DeviceClient(session, host, password, auth_scheme, can_have_password=can_have_password)
    )


async def identify(
    session: aiohttp.ClientSession,
    host: str,
    password: str | None = None,
    weakest_scheme: AuthScheme | None = None,
    *,
    kinds: Iterable[str] = READERS,
) -> Identity:
    """Return the identity of the device at `host` or `host:port`, which can be a reader of one of `kinds`.

    Raises ReaderProtocolError if the device is not a reader, and ReaderConnectionError if it does not
    respond. Raises ReaderAuthenticationError if the password is missing or wrong, and
    ReaderAuthDowngradeError if the device requires a weaker scheme than `weakest_scheme`.
    """
    for kind in kinds:
        reader = make_reader(kind, session, host, password, weakest_scheme)
        with suppress(ReaderProtocolError):
            return Identity(await reader.identify(), reader.auth_scheme or AuthScheme.NONE)
    raise ReaderProtocolError(Reason.NOT_A_READER)


async def diagnose_mismatch(error: ReaderError, reader: Reader, expected_id: str) -> ReaderError:
    """Return a more precise error if another device responds instead of the reader, or the same error."""
    for kind in READERS:
        try:
            info = await reader.probe(kind).identify()
        except ReaderAuthenticationError:
            if not reader.can_have_password:
                return ReaderMismatchError(None)
        except ReaderError:
            continue
        else:
            return error if info.id == expected_id else ReaderMismatchError(get_full_name(info))
    if isinstance(error, ReaderAuthDowngradeError) and error.scheme is AuthScheme.NONE:
        # This is another kind of device, which does not require authentication.
        return ReaderProtocolError(Reason.NOT_A_READER)
    return error


def get_full_name(info: ReaderInfo) -> str:
    """Return the name of an identified reader, with its model."""
    reader = READERS[info.kind]
    return reader.full_name(info.name or reader.default_name(info.id))
