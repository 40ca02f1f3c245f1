"""The wire: talks to meter readers over HTTP and knows nothing of Home Assistant."""

from .base import Reader
from .connection import ReaderConnection
from .discover import default_name, identify, make_reader
from .exceptions import ReaderAuthenticationError, ReaderConnectionError, ReaderError, ReaderProtocolError
from .freshness import Freshness
from .http import parse_host
from .messages import (
    Detection,
    Heartbeat,
    Measurement,
    Message,
    ReaderInfo,
    ReaderKind,
    Reading,
    Transition,
    Unit,
)

__all__ = [
    "Detection",
    "Freshness",
    "Heartbeat",
    "Measurement",
    "Message",
    "Reader",
    "ReaderAuthenticationError",
    "ReaderConnection",
    "ReaderConnectionError",
    "ReaderError",
    "ReaderInfo",
    "ReaderKind",
    "ReaderProtocolError",
    "Reading",
    "Transition",
    "Unit",
    "default_name",
    "identify",
    "make_reader",
    "parse_host",
]
