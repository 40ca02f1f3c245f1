"""The wire: talks to meter readers over HTTP and knows nothing of Home Assistant."""

from . import clock
from .base import Reader, Restartable
from .client import parse_host
from .connection import ConnectionState, ReaderConnection
from .errors import EXCEPTION_FILTER, ErrorGuard, format_trace, log_unexpected_error
from .exceptions import (
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderMismatchError,
    ReaderProtocolError,
)
from .freshness import Freshness
from .identify import READERS, Identity, default_name, full_name, identify, make_reader, name_of
from .models import (
    ApplianceProfile,
    ApplianceState,
    AuthScheme,
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
from .traffic import ConnectionStats
from .validation import MAX_ENERGY_PER_HOUR, RegisterLimits, RegisterValidator, is_possible, limits_of_meter

__all__ = [
    "EXCEPTION_FILTER",
    "MAX_ENERGY_PER_HOUR",
    "READERS",
    "REDACTOR",
    "ApplianceProfile",
    "ApplianceState",
    "AuthScheme",
    "ConnectionState",
    "ConnectionStats",
    "Detection",
    "ErrorGuard",
    "Freshness",
    "Heartbeat",
    "HourlyRegister",
    "Identity",
    "Inventory",
    "Measurement",
    "Message",
    "Property",
    "Reader",
    "ReaderAuthDowngradeError",
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
    "RegisterLimits",
    "RegisterValidator",
    "Restartable",
    "SubMeterReading",
    "Transition",
    "Unit",
    "clock",
    "default_name",
    "format_trace",
    "full_name",
    "get_number",
    "get_text",
    "identify",
    "is_number",
    "is_possible",
    "limits_of_meter",
    "log_unexpected_error",
    "make_reader",
    "name_of",
    "parse_host",
    "parse_object",
]
