"""Removal of identities from the traffic log, from diagnostics, and from log records of errors.

A text is kept only under a key whose texts are words of the firmware. Numbers are kept, except
identities. Every identity becomes a pseudonym, and the same identity always has the same pseudonym.

The text of an exception can contain received data or an address: a KeyError contains the key, and an OSError
the host. So an exception is logged as its type and its lines of code.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import combinations
import logging
from pathlib import Path
import re
import secrets
from threading import Lock
from traceback import walk_tb
from typing import Any, Final, override

from .payload import parse_fields, parse_object

REDACTED: Final = "**REDACTED**"

# Characters of an event or a response. The largest known one has 2,500. Longer ones are replaced by their
# length.
MAX_LENGTH: Final = 16_384

_KEY_LENGTH: Final = 32

# The kinds of readers add their vocabulary by `add_vocabulary`.
_safe_keys: Final[set[str]] = set()
_protocol_words: Final[set[str]] = set()
_plain_protocol_words: Final[set[str]] = set()
_recoverable_keys: Final[set[str]] = set()

# Keys of a category. A category is not an identity, even if the owner has given an appliance the same name.
_CATEGORY_KEYS: Final = frozenset({"cat", "profileId"})

# Keys of identities and of the location. Numbers under these keys are redacted, too.
_SENSITIVE_KEY: Final = re.compile(
    r"m_id|sn|lat|latitude|lon|lng|longitude|pin|zip|postcode|imei|iccid|ip|mac"
    r"|.*(?:meter_?id|name|addr|address|host|owner|gateway|url)"
    r"|.*(?:serial|ssid|phone|mail|pass|token|secret|user).*",
    re.IGNORECASE,
)

# Under these keys, a number of six digits or more is an identity. A shorter number is a position or a
# counter.
_ID_KEY: Final = re.compile(r"(?i:(?:.*_)?ids?)|.*[a-z]I[dD]s?")
_MIN_IDENTITY_NUMBER: Final = 100_000

_WORDS: Final = re.compile(r"[A-Za-z0-9_ .+/-]{1,40}")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,31}")

# Part of a word that is a serial number, an IP address, a MAC address, or the name of a host.
_IDENTIFIER: Final = re.compile(
    r"""
    \d{5} | (?: \d{1,3} \. ){3} \d
    | [0-9A-F]{12} | (?: [0-9A-F]{2} [-._ ] ){5} [0-9A-F]{2} | (?: [0-9A-F]{4} [-._ ] ){2} [0-9A-F]{4}
    | [A-Z] \. [A-Z]{2}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?|\d\d:\d\d:\d\d", re.ASCII
)
_MAC_ADDRESS: Final = re.compile(r"[0-9A-F]{2}(?:[-._: ]?[0-9A-F]{2}){5}", re.IGNORECASE)
_PSEUDONYM: Final = re.compile(r"anon-[0-9a-f]{8}|(?i:[0-9a-f]{4}5e5e[0-9a-f]{4})")
_SHAPE: Final = re.compile(r"\*\*REDACTED\*\* \(\d+ characters\)")

# Identities that are known by value, in case one is used as a key or in a word of the firmware.
_MAX_IDENTITIES: Final = 1000
_MIN_IDENTITY_LENGTH: Final = 4

# No reader nests deeper than this. Python cannot write JSON of a thousand levels.
_MAX_DEPTH: Final = 20

_PACKAGE: Final = f"{Path(__file__).parents[1]}/"

# Exceptions in a chain of causes, which can be circular.
_MAX_CAUSES: Final = 5


def add_vocabulary(
    safe_keys: Iterable[str], protocol_words: Iterable[str], recoverable_keys: Iterable[str]
) -> None:
    """Add the vocabulary of a kind of reader: see the attributes of `Reader` with these names."""
    _safe_keys.update(safe_keys)
    _protocol_words.update(protocol_words)
    _plain_protocol_words.update(map(_plain, (*safe_keys, *protocol_words)))
    _recoverable_keys.update(recoverable_keys)


def shape(text: str) -> str:
    """Return a description of a text without its content."""
    return f"{REDACTED} ({len(text)} characters)"


class Redactor:
    """Redactor that replaces identities by pseudonyms. It is thread-safe."""

    def __init__(self) -> None:
        """Start with a random key."""
        self.key = secrets.token_bytes(_KEY_LENGTH)
        """Key of the pseudonyms. Without it, a pseudonym cannot be compared with possible identities."""

        self._identities: dict[str, None] = {}
        """Known identities without case and separators, the oldest first."""

        self._learned = 0
        """Number of identities that have been learned."""

        self._lock = Lock()

    def set_key(self, key: bytes) -> None:
        """Use a stored key. Raises ValueError for another length."""
        if len(key) != _KEY_LENGTH:
            raise ValueError("not a key")
        self.key = key

    def event(self, event_type: str, data: str) -> dict[str, Any] | str:
        """Return the data of an event: the redacted object, or the shape of other data."""
        if event_type == "log":
            # Free text, which can contain JSON.
            return data if _SHAPE.fullmatch(data) else shape(data)
        redacted = self.data(data)
        if isinstance(redacted, str) and data.startswith("{"):
            fields = parse_fields(data[:MAX_LENGTH], _recoverable_keys)
            return self.values(fields) if fields else redacted
        return redacted

    def data(self, text: str) -> dict[str, Any] | str:
        """Return the redacted object of a JSON text, or the shape of any other text."""
        payload = parse_object(text) if len(text) <= MAX_LENGTH else None
        if payload is not None:
            return self.values(payload)
        is_kept = _SHAPE.fullmatch(text) or _protocol_words.issuperset(text.split(" "))
        return text if is_kept or not text else shape(text)

    def values(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a redacted object."""
        learned = self._learned
        redacted = self._object(payload, 0, is_sensitive=False)
        # Repeated after a new identity was found, because an earlier key or word can contain this identity.
        return redacted if self._learned == learned else self._object(payload, 0, is_sensitive=False)

    def event_type(self, event_type: str) -> str:
        """Return the type of an event, or its pseudonym if it is not a word."""
        return self._key(event_type)

    def text(self, key: str, text: str) -> str:
        """Return the text under a key if it is a word of the firmware or a time; otherwise, its pseudonym."""
        if not text or _TIME.fullmatch(text):
            return text
        is_word = key in _safe_keys and _WORDS.fullmatch(text) and not _IDENTIFIER.search(text)
        if is_word and (key in _CATEGORY_KEYS or not self._contains_identity(text)):
            return text
        return self.pseudonym(text)

    def pseudonym(self, identity: str) -> str:
        """Return the pseudonym of an identity. The pseudonym of a MAC address looks like a MAC address."""
        if not identity or _PSEUDONYM.fullmatch(identity):
            return identity
        plain = _plain(identity)
        is_mac_address = _MAC_ADDRESS.fullmatch(identity) is not None
        self._learn(plain)
        if not is_mac_address:
            return f"anon-{self._digest(identity)}"
        # Host names end with the second half of the MAC address.
        self._learn(plain[-6:])
        digest = self._digest(plain)
        pseudonym = f"{digest[:4]}5e5e{digest[4:]}"
        return pseudonym if identity == identity.lower() else pseudonym.upper()

    def _object(self, payload: Mapping[str, Any], depth: int, *, is_sensitive: bool) -> dict[str, Any]:
        return {
            self._key(key): self._value(
                key, value, depth, is_sensitive=is_sensitive or bool(_SENSITIVE_KEY.fullmatch(key))
            )
            for key, value in payload.items()
        }

    def _value(self, key: str, value: object, depth: int, *, is_sensitive: bool) -> object:
        if isinstance(value, str):
            return self.text("" if is_sensitive else key, value)
        if isinstance(value, dict | list):
            if depth == _MAX_DEPTH:
                return REDACTED
            if isinstance(value, dict):
                return self._object(value, depth + 1, is_sensitive=is_sensitive)
            # Each value of a list belongs to the key of the list.
            return [self._value(key, each, depth + 1, is_sensitive=is_sensitive) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(key, value, is_sensitive=is_sensitive)
        return value

    def _number(self, key: str, number: float, *, is_sensitive: bool) -> float | str:
        size = abs(number)
        digits = str(int(size) if size.is_integer() else size)
        is_long = size >= _MIN_IDENTITY_NUMBER
        if is_sensitive or (is_long and (digits in self._identities or _ID_KEY.fullmatch(key))):
            return self.pseudonym(digits)
        return number

    def _key(self, key: str) -> str:
        is_word = _KEY.fullmatch(key) and not _IDENTIFIER.search(key) and not self._contains_identity(key)
        return key if is_word else self.pseudonym(key)

    def _contains_identity(self, text: str) -> bool:
        words = re.findall(r"[^\W_]+", text.casefold())
        ends = range(len(words) + 1)
        return any("".join(words[start:end]) in self._identities for start, end in combinations(ends, 2))

    def _learn(self, plain: str) -> None:
        if len(plain) < _MIN_IDENTITY_LENGTH or plain in _plain_protocol_words or plain in self._identities:
            return
        with self._lock:
            self._learned += 1
            self._identities[plain] = None
            if len(self._identities) > _MAX_IDENTITIES:
                # The oldest identity is removed. It is learned again when it occurs again.
                del self._identities[next(iter(self._identities))]

    def _digest(self, text: str) -> str:
        return blake2b(text.encode(errors="replace"), digest_size=4, key=self.key).hexdigest()


def _plain(identity: str) -> str:
    """Return an identity in lower case without separators, because ids and keys can contain this form."""
    return re.sub(r"[\W_]", "", identity).casefold()


REDACTOR: Final = Redactor()
"""Redactor of this process, so that the log and the diagnostics of all readers use the same pseudonyms."""


class ExceptionFilter(logging.Filter):
    """Filter that replaces exceptions in log records by their types and lines of code.

    An exception of a type that was raised at a line is logged once, because tasks repeat every few seconds.
    """

    def __init__(self) -> None:
        """Start without logged exceptions."""
        super().__init__()
        self.logged: set[tuple[str, ...]] = set()
        """Types and lines of the logged exceptions."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record, after removing the texts of its exceptions."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Exception):
            return True
        kind = (type(error).__name__, *_lines(error)[-1:])
        if kind in self.logged:
            return False
        self.logged.add(kind)
        record.msg, record.args = f"{record.getMessage()}: {format_trace(error)}", None
        record.exc_info = record.exc_text = None
        return True


EXCEPTION_FILTER: Final = ExceptionFilter()
"""Filter of all loggers of this process."""


def format_trace(error: BaseException) -> str:
    """Return the types and the lines of code of an exception and of its causes."""
    traces: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(traces) < _MAX_CAUSES:
        lines = " > ".join(_lines(cause))
        traces.append(f"{type(cause).__name__} at {lines}" if lines else type(cause).__name__)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return ", because of ".join(traces)


def _lines(error: BaseException) -> list[str]:
    """Return the lines of this package that an exception passed, and the line that raised it."""
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    return [
        f"{file.removeprefix(_PACKAGE) if file.startswith(_PACKAGE) else Path(file).name}:{line}"
        for file, line in places
        if file.startswith(_PACKAGE) or (file, line) == places[-1]
    ]
