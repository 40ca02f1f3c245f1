"""Protocol layer: communication with the readers over HTTP. It does not import Home Assistant."""

from . import clock
from .base import (
    READERS,
    Announcement,
    Identity,
    Reader,
    Restartable,
    get_full_name,
    identify,
    make_reader,
)
from .client import parse_host
from .computed import HEADROOMS, ComputedValues
from .connection import ConnectionState, ReaderConnection
from .currentlyone import CurrentlyOneReader
from .freshness import Freshness, ValueExpiry, max_gap
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
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderMismatchError,
    ReaderProtocolError,
    ReaderStatus,
    Reading,
    Reason,
    SubMeterReading,
    Transition,
    Unit,
)
from .payload import get_number, get_text, is_number, parse_object
from .redaction import EXCEPTION_FILTER, REDACTOR
from .traffic import ConnectionStats, ReceivedEvent, ReceivedResponse
from .validation import (
    MAX_ENERGY_PER_HOUR,
    MAX_REPEAT_AGE,
    DeviceLimit,
    RegisterLimits,
    RegisterValidator,
    ReplacedRegister,
    get_bounds,
    get_meter_limits,
)
from .whatwatt import WhatwattReader

__all__ = [
    "EXCEPTION_FILTER",
    "HEADROOMS",
    "MAX_ENERGY_PER_HOUR",
    "MAX_REPEAT_AGE",
    "READERS",
    "REDACTOR",
    "Announcement",
    "ApplianceProfile",
    "ApplianceState",
    "AuthScheme",
    "ComputedValues",
    "ConnectionState",
    "ConnectionStats",
    "Detection",
    "DeviceLimit",
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
    "ReaderMismatchError",
    "ReaderProtocolError",
    "ReaderStatus",
    "Reading",
    "Reason",
    "ReceivedEvent",
    "ReceivedResponse",
    "RegisterLimits",
    "RegisterValidator",
    "ReplacedRegister",
    "Restartable",
    "SubMeterReading",
    "Transition",
    "Unit",
    "ValueExpiry",
    "clock",
    "get_bounds",
    "get_full_name",
    "get_meter_limits",
    "get_number",
    "get_text",
    "identify",
    "is_number",
    "make_reader",
    "max_gap",
    "parse_host",
    "parse_object",
]

# The whatwatt comes first because it can require a password, and because its request is small.
READERS.update((each.kind, each) for each in (WhatwattReader, CurrentlyOneReader))
