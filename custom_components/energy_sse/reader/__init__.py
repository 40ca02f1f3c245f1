"""The wire: talks to meter readers over HTTP and knows nothing of Home Assistant."""

from .base import Reader, Restartable
from .connection import ReaderConnection
from .discover import default_name, identify, make_reader
from .exceptions import ReaderAuthenticationError, ReaderConnectionError, ReaderError, ReaderProtocolError
from .freshness import Freshness
from .http import parse_host
from .messages import (
    ApplianceProfile,
    ApplianceState,
    CounterReading,
    Detection,
    Heartbeat,
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

__all__ = [
    "ApplianceProfile",
    "ApplianceState",
    "CounterReading",
    "Detection",
    "Freshness",
    "Heartbeat",
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
    "ReaderProtocolError",
    "ReaderStatus",
    "Reading",
    "Restartable",
    "Transition",
    "Unit",
    "default_name",
    "identify",
    "make_reader",
    "parse_host",
    "parse_object",
]
