"""What every reader can do, and what their wires have in common."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from .client import DeviceClient
from .freshness import Freshness
from .models import (
    AuthScheme,
    Measurement,
    Message,
    ReaderInfo,
    ReaderKind,
    ReaderStatus,
    Reading,
    SubMeterReading,
    Unit,
)
from .payload import parse_numbers

type Fields = Mapping[str, tuple[Measurement, Unit]]
"""Wire key → what it measures, and in which unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What a reader answered when it was asked for its values."""

    messages: tuple[Reading | SubMeterReading | ReaderStatus, ...]
    """Without a reading when there is no new one."""

    interval: float
    """Seconds until there will be another one."""


class Reader(ABC):
    """One device that reads one meter."""

    kind: ClassVar[ReaderKind]
    manufacturer: ClassVar[str]
    model: ClassVar[str]

    units: ClassVar[Mapping[Measurement, Unit]]
    """The measurements that this kind of reader can have, with the units of its wire."""

    stores_hours: ClassVar[bool] = False
    """Whether its stream repeats the registers of the last full hours (`HourlyRegister`)."""

    can_have_password: ClassVar[bool] = False
    """Whether its owner can protect it by a password."""

    serves_one_stream: ClassVar[bool] = False
    """Whether a second client takes the stream from the first one."""

    def __init__(self, http: DeviceClient) -> None:
        """Prepare to talk to the device. Connects to nothing yet."""
        self._http = http
        self.stats = http.stats
        self.freshness = Freshness()
        """Of its meter's readings. Whoever takes them notes when each was true; the stream goes by it."""

    @property
    def auth_scheme(self) -> AuthScheme | None:
        """How the device lets us in; None while that is not known."""
        return self._http.auth_scheme

    @property
    def host(self) -> str:
        """Where the device is asked: `host` or `host:port`."""
        return self._http.host

    def move_to(self, host: str, *, is_trusted: bool) -> None:
        """Ask at another address from now on. The password goes unencrypted to a trusted address only."""
        self._http.move_to(host, is_trusted=is_trusted)

    def with_host(self, host: str) -> Reader:
        """Return the same reader at another address that its owner trusts."""
        return type(self)(self._http.with_host(host))

    def as_kind(self, kind: type[Reader]) -> Reader:
        """Return a reader of another kind at the same address, which gets no password."""
        return kind(self._http.without_credentials(can_have_password=kind.can_have_password))

    @abstractmethod
    async def identify(self) -> ReaderInfo:
        """Ask the device who it is. Raises a ReaderError."""

    async def poll(self) -> Poll | None:
        """Ask for the values beside the stream. Returns None where the device does not offer that.

        Raises a ReaderError.
        """
        return None

    @abstractmethod
    def stream(self) -> AsyncGenerator[Message]:
        """Connect once and yield what the device says until the stream ends.

        The device says who it is before its first reading. What makes no sense is skipped. Raises a
        ReaderError.
        """


@runtime_checkable
class Restartable(Protocol):
    """A reader that can be told to restart."""

    async def restart(self) -> None:
        """Restart the device. Raises a ReaderError."""


def units_of(fields: Fields) -> Mapping[Measurement, Unit]:
    """Return the units of the measurements that a wire has, and of those that are computed."""
    units = dict(fields.values())
    computed = {
        Measurement.ACTIVE_POWER_NET: units[Measurement.ACTIVE_POWER_IMPORT],
        Measurement.READER_CLOCK_OFFSET: Unit.SECOND,
        Measurement.METER_CLOCK_OFFSET: Unit.SECOND,
    }
    return {**units, **computed}


def measurement_names(fields: Fields) -> Mapping[str, Measurement]:
    """Return what each wire key measures."""
    return {key: measurement for key, (measurement, _) in fields.items()}


def parse_measurements(
    payload: Mapping[str, Any], names: Mapping[str, Measurement]
) -> dict[Measurement, float]:
    """Return the measurements that a payload holds, and the net power where import and export are there."""
    values = parse_numbers(payload, names)
    power_import = values.get(Measurement.ACTIVE_POWER_IMPORT)
    power_export = values.get(Measurement.ACTIVE_POWER_EXPORT)
    if power_import is not None and power_export is not None:
        # Rounded to the mW or finer, far below any meter's resolution: this only removes the noise of
        # subtracting binary fractions. Zero has no sign.
        values[Measurement.ACTIVE_POWER_NET] = round(power_import - power_export, 6) + 0
    return values
