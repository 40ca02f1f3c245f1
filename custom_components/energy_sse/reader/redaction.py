"""Taking out who and where, and leaving what a fault report needs.

Works on the text of the wire, token by token, so that all else stays as it was sent, broken JSON too. A text
is kept only under a key whose texts are the firmware's own words, and a number only under a key that does not
tell who or where. Every other text becomes a pseudonym: the same text always the same one, as long as Home
Assistant runs.
"""

from collections.abc import Iterable
from hashlib import blake2b
import json
import re
import secrets
from typing import Final

REDACTED: Final = "**REDACTED**"

# Characters; the largest known payload has 2,500. What is longer is cut.
MAX_LENGTH: Final = 16_384

# Keys whose texts are words of the firmware, versions, places in the meter, and times; then keys and types of
# events that stay readable even if an owner gives an appliance the same name. Each kind of reader adds some.
_safe_keys: Final[set[str]] = set()
_protocol_words: Final[set[str]] = set()

# Of these an owner may call an appliance the same, and tells nothing by it.
_KINDS_OF_APPLIANCES: Final = frozenset({"cat", "profileId"})

# Keys below which everything tells who or where, numbers too.
_SENSITIVE_KEYS: Final = re.compile(
    r"m_id|sn|lat|latitude|lon|lng|longitude|pin|zip|postcode|imei|iccid|ip|mac"
    r"|.*(?:meter_?id|name|addr|address|host|owner|gateway|url)"
    r"|.*(?:serial|ssid|phone|mail|pass|token|secret|user).*",
    re.IGNORECASE,
)

# Digits. A number that is also somebody's text is no chance from here on.
_IDENTITY_NUMBER: Final = re.compile(r"\d{8,}")

# A word of the firmware, unless it holds a serial number, an address, or the name of a host.
_WORDS: Final = re.compile(r"[A-Za-z0-9_ .+/-]{1,40}")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,31}")
_IDENTIFIER: Final = re.compile(
    r"""
    \d{6} | (?: \d{1,3} \. ){3} \d
    | [0-9A-F]{12} | (?: [0-9A-F]{2} [-. ] ){5} [0-9A-F]{2} | (?: [0-9A-F]{4} [-. ] ){2} [0-9A-F]{4}
    | [A-Z] \. [A-Z]{2}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?|\d\d:\d\d:\d\d", re.ASCII
)

# What the CurrentlyOne says of itself in an event that is no JSON: `online`, `restart SW`.
_STATUS: Final = re.compile(r"[a-z]{1,16}( [A-Za-z_]{1,12})?")

_MAC_ADDRESS: Final = re.compile(r"[0-9A-F]{12}|(?:[0-9A-F]{2}[:-]){5}[0-9A-F]{2}", re.IGNORECASE)

_PSEUDONYM: Final = re.compile(r'anon-"?[0-9a-f]{8}|(?i:[0-9a-f]{4}5e5e[0-9a-f]{4})')

_TOKEN: Final = re.compile(
    r"""
      (?P<key>    "(?:[^"\\]|\\.)*+" ) (?= \s*+ : )
    | (?P<text>   "(?:[^"\\]|\\.)*+" ) (?= \s*+ (?: [,}\]] | \Z ) )
    # A name goes out unescaped: with a quote in it, its end is a quote before something that may follow.
    | (?P<broken> " .*? (?: " (?= \s*+ (?: ,\s*+["{\[\d-] | [}\]] | \Z ) ) | \Z ) )
    | (?P<mark>   [{}\[\],:] )
    | (?P<bare>   [^\s"{}\[\],:]++ )
    """,
    re.DOTALL | re.VERBOSE,
)
_LITERAL: Final = re.compile(
    r"true|false|null|-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE
)

# Identities that are remembered, in case one comes back as a key or as a word. A short one may be either.
_MAX_IDENTITIES: Final = 1000
_MIN_IDENTITY_LENGTH: Final = 5


def add_vocabulary(safe_keys: Iterable[str], protocol_words: Iterable[str]) -> None:
    """Add the safe keys and the protocol words of a kind of reader."""
    _safe_keys.update(safe_keys)
    _protocol_words.update(protocol_words)


class Redactor:
    """Gives every identity its pseudonym."""

    def __init__(self) -> None:
        """Begin with a key that nobody knows: pseudonyms cannot be tried out."""
        self._key = secrets.token_bytes(16)
        self._identities: set[str] = set()

    def event(self, event_type: str, data: str) -> str:
        """Return what an event says; of free text only how long it is."""
        if event_type == "log":
            return f"{REDACTED} ({len(data)} characters)"
        if event_type == "status" and _STATUS.fullmatch(data):
            return data if not any(map(self._is_identity, data.split())) else self.json(data)
        return self.json(data)

    def event_type(self, event_type: str) -> str:
        """Return the type of an event, or a pseudonym where it is no word."""
        return event_type if self._is_key(event_type) else self.pseudonym(event_type)

    def json(self, text: str) -> str:
        """Return a text that should be JSON, at most `MAX_LENGTH` of it, with all else as it was."""
        text = text[:MAX_LENGTH]
        # Twice, for an identity may have been a key or a word before it is told.
        _TOKEN.sub(_Rewriter(self).rewrite, text)
        return _TOKEN.sub(_Rewriter(self).rewrite, text)

    def text(self, key: str, text: str) -> str:
        """Return a text that stands under a key, or its pseudonym."""
        if not text or _TIME.fullmatch(text):
            return text
        if key in _safe_keys and _WORDS.fullmatch(text) and not _IDENTIFIER.search(text):
            return (
                text if key in _KINDS_OF_APPLIANCES or not self._is_identity(text) else self.pseudonym(text)
            )
        return self.pseudonym(text)

    def key(self, key: str) -> str:
        """Return a key, or its pseudonym where it is no word or tells who."""
        return key if self._is_key(key) else self.pseudonym(key)

    def pseudonym(self, identity: str) -> str:
        """Return what an identity is called. That of a MAC address looks like one."""
        if not identity or _PSEUDONYM.fullmatch(identity):
            return identity
        plain = _plain(identity)
        if len(self._identities) < _MAX_IDENTITIES and len(plain) >= _MIN_IDENTITY_LENGTH:
            self._identities.add(plain)
        if _MAC_ADDRESS.fullmatch(identity):
            digits = re.sub("[:-]", "", identity)
            digest = self._digest(digits.lower())
            pseudonym = f"{digest[:4]}5e5e{digest[4:]}"
            return pseudonym if digits == digits.lower() else pseudonym.upper()
        return f"anon-{self._digest(identity)}"

    def is_identity_number(self, number: str) -> bool:
        """Tell whether a number has been somebody's text."""
        return bool(_IDENTITY_NUMBER.fullmatch(number)) and number in self._identities

    def _is_key(self, key: str) -> bool:
        return bool(_KEY.fullmatch(key)) and not _IDENTIFIER.search(key) and not self._is_identity(key)

    def _is_identity(self, word: str) -> bool:
        return word not in _protocol_words and _plain(word) in self._identities

    def _digest(self, text: str) -> str:
        return blake2b(text.encode(errors="replace"), digest_size=4, key=self._key).hexdigest()


class _Rewriter:
    """Rewrites the tokens of one text."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._key = ""
        """Under which a value stands; empty where there is none."""

        self._around: list[tuple[str, str]] = []
        """What is open: the mark that opened it, and the key that it stands under."""

        self._mark = ""
        """The last one."""

    def rewrite(self, token: re.Match[str]) -> str:
        text = token.group()
        kind = token.lastgroup
        if kind == "mark":
            self._note_mark(text)
            return text
        mark, self._mark = self._mark, ""
        if kind == "key" and mark in ("{", ","):
            self._key = _content(text)
            return json.dumps(self._redactor.key(self._key), ensure_ascii=False)
        if kind in ("key", "text"):
            key = "" if self._is_sensitive else self._key
            return json.dumps(self._redactor.text(key, _content(text)), ensure_ascii=False)
        return self._rewrite_broken(text) if kind == "broken" else self._rewrite_bare(text)

    def _note_mark(self, mark: str) -> None:
        self._mark = mark
        if mark in "{[":
            self._around.append((mark, self._key))
        elif mark in "}]" and self._around:
            self._around.pop()
        if mark not in "[:":
            # In a list, every value stands under the key of the list.
            opened, key = self._around[-1] if self._around else ("", "")
            self._key = key if opened == "[" else ""

    @property
    def _is_sensitive(self) -> bool:
        return any(_SENSITIVE_KEYS.fullmatch(key) for key in (self._key, *(key for _, key in self._around)))

    def _rewrite_broken(self, text: str) -> str:
        """Return something that is broken in the same way."""
        end = '"' if len(text) > 1 and text.endswith('"') else ""
        content = text[1 : len(text) - len(end)]
        pseudonym = self._redactor.pseudonym(content)
        if '"' in content and '"' not in pseudonym:
            pseudonym = pseudonym.replace("-", '-"')
        return f'"{pseudonym}{end}'

    def _rewrite_bare(self, text: str) -> str:
        if self._key and _LITERAL.fullmatch(text):
            if text.strip("-0123456789.eE+"):
                return text
            return "0" if self._is_sensitive or self._redactor.is_identity_number(text) else text
        # Of all that is no number and no word of JSON, only the shape.
        return re.sub(r"[^\W\d]|[^\x00-\x7f]", "x", re.sub(r"\d", "0", text))


def _plain(identity: str) -> str:
    """Return what an identity has in common with a word that was made of it."""
    return re.sub(r"[\W_]", "", identity).casefold()


def _content(token: str) -> str:
    """Return what a text in quotes says."""
    try:
        content: str = json.loads(token, strict=False)
    except ValueError:
        return token[1:-1]
    return content


REDACTOR: Final = Redactor()
"""The one of this process, so that logs and diagnostics of all readers use the same names."""
