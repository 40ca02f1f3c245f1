"""The wire: talks to meter readers over HTTP and knows nothing of Home Assistant."""

from . import clock
from .base import Reader, Restartable
from .connection import ConnectionState, ReaderConnection
from .discover import READERS, Identity, default_name, full_name, identify, make_reader, name_of
from .exceptions import (
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderLoginWeakenedError,
    ReaderMismatchError,
    ReaderProtocolError,
)
from .faults import Faults, log_fault, trace_of
from .freshness import Freshness
from .health import StreamHealth
from .http import parse_host
from .login import Login
from .messages import (
    ApplianceProfile,
    ApplianceState,
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
    SubMeterReading,
    Transition,
    Unit,
)
from .payload import get_number, get_text, is_number, parse_object
from .redaction import REDACTOR
from .validation import MAX_ENERGY_PER_HOUR, RegisterGuard, RegisterLimits, is_possible, limits_of_meter

__all__ = [
    "MAX_ENERGY_PER_HOUR",
    "READERS",
    "REDACTOR",
    "ApplianceProfile",
    "ApplianceState",
    "ConnectionState",
    "Detection",
    "Faults",
    "Freshness",
    "Heartbeat",
    "HourlyRegister",
    "Identity",
    "Inventory",
    "Login",
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
    "ReaderLoginWeakenedError",
    "ReaderMismatchError",
    "ReaderProtocolError",
    "ReaderStatus",
    "Reading",
    "RegisterGuard",
    "RegisterLimits",
    "Restartable",
    "StreamHealth",
    "SubMeterReading",
    "Transition",
    "Unit",
    "clock",
    "default_name",
    "full_name",
    "get_number",
    "get_text",
    "identify",
    "is_number",
    "is_possible",
    "limits_of_meter",
    "log_fault",
    "make_reader",
    "name_of",
    "parse_host",
    "parse_object",
    "trace_of",
]
