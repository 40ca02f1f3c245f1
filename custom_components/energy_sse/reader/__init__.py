"""The wire: talks to meter readers over HTTP and knows nothing of Home Assistant."""

from . import clock
from .base import Reader, Restartable
from .connection import ConnectionState, ReaderConnection
from .discover import READERS, default_name, identify, make_reader
from .exceptions import (
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderMismatchError,
    ReaderProtocolError,
)
from .freshness import Freshness
from .http import parse_host
from .messages import (
    ApplianceProfile,
    ApplianceState,
    CounterReading,
    Detection,
    Heartbeat,
    HourlyRegister,
    Inventory,
    Measurement,
    Message,
    Property,
    ReaderInfo,
    ReaderKind,
    ReaderStatus,
    Reading,
    Transition,
    Unit,
)
from .payload import parse_object
from .registers import RegisterGuard
from .scale import ScaleCheck, ScaleError

__all__ = [
    "READERS",
    "ApplianceProfile",
    "ApplianceState",
    "ConnectionState",
    "CounterReading",
    "Detection",
    "Freshness",
    "Heartbeat",
    "HourlyRegister",
    "Inventory",
    "Measurement",
    "Message",
    "Property",
    "Reader",
    "ReaderAuthenticationError",
    "ReaderConnection",
    "ReaderConnectionError",
    "ReaderError",
    "ReaderInfo",
    "ReaderKind",
    "ReaderMismatchError",
    "ReaderProtocolError",
    "ReaderStatus",
    "Reading",
    "RegisterGuard",
    "Restartable",
    "ScaleCheck",
    "ScaleError",
    "Transition",
    "Unit",
    "clock",
    "default_name",
    "identify",
    "make_reader",
    "parse_host",
    "parse_object",
]
