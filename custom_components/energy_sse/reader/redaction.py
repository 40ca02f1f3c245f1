"""Taking out who and where, and leaving what a fault report needs.

Works on the text of the wire, token by token, so that all else stays as it was sent, broken JSON too. A text
is kept only under a key whose texts are the firmware's own words. Every other one becomes a pseudonym: the
same text always the same one, as long as Home Assistant runs.
"""

from hashlib import blake2b
import json
import re
import secrets
from typing import Final

REDACTED: Final = "**REDACTED**"

# Characters; the largest known payload has 2,500. What is longer is cut.
LENGTH_LIMIT: Final = 16_384

# Keys of the wires whose texts are words of the firmware, versions, places in the meter, and times.
_HARMLESS_KEYS: Final = frozenset(
    {
        # CurrentlyOne
        *("autoFota", "bs", "cat", "crc", "m", "profileId", "pullup", "rr", "rssi", "source", "sources", "v"),
        # whatwatt Go
        *("build", "firmware", "ht", "interface", "manufacturer", "mode", "model", "prefix", "protocol"),
        *("protocol_version", "state", "status", "type", "vendor"),
    }
)

# Keys whose numbers tell who or where, too.
_IDENTITY_NUMBERS: Final = re.compile(
    r"m_id|meter_id|.*serial.*|sn|lat.*|lon.*|lng|.*phone.*|.*pass.*|.*token.*|.*secret.*|pin|zip|imei|iccid",
    re.IGNORECASE,
)

# A word of the firmware, unless it holds a serial number or an address.
_WORDS: Final = re.compile(r"[\w .+/-]{1,40}")
_KEY: Final = re.compile(r"[A-Za-z_][\w.+-]{0,31}")
_TELLTALE: Final = re.compile(
    r"\d{6}|(?:\d{1,3}\.){3}\d|[0-9A-F]{12}|(?:[0-9A-F]{2}-){5}[0-9A-F]{2}", re.IGNORECASE
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
_MOST_IDENTITIES: Final = 1000
_SHORTEST_IDENTITY: Final = 5


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
        if event_type == "status" and _STATUS.fullmatch(data) and self._identities.isdisjoint(data.split()):
            return data
        return self.json(data)

    def event_type(self, event_type: str) -> str:
        """Return the type of an event, or a pseudonym where it is no word."""
        return event_type if self._is_key(event_type) else self.pseudonym(event_type)

    def json(self, text: str) -> str:
        """Return a text that should be JSON, at most `LENGTH_LIMIT` of it, with all else as it was."""
        return _TOKEN.sub(_Rewriter(self).rewrite, text[:LENGTH_LIMIT])

    def text(self, key: str, text: str) -> str:
        """Return a text that stands under a key, or its pseudonym."""
        if not text or _TIME.fullmatch(text):
            return text
        if key in _HARMLESS_KEYS and _WORDS.fullmatch(text) and not _TELLTALE.search(text):
            return text
        return self.pseudonym(text)

    def key(self, key: str) -> str:
        """Return a key, or its pseudonym where it is no word or tells who."""
        return key if self._is_key(key) else self.pseudonym(key)

    def pseudonym(self, identity: str) -> str:
        """Return what an identity is called. That of a MAC address looks like one."""
        if not identity or _PSEUDONYM.fullmatch(identity):
            return identity
        if len(self._identities) < _MOST_IDENTITIES and len(identity) >= _SHORTEST_IDENTITY:
            self._identities.add(identity)
        if _MAC_ADDRESS.fullmatch(identity):
            digits = re.sub("[:-]", "", identity)
            digest = self._digest(digits.lower())
            pseudonym = f"{digest[:4]}5e5e{digest[4:]}"
            return pseudonym if digits == digits.lower() else pseudonym.upper()
        return f"anon-{self._digest(identity)}"

    def _is_key(self, key: str) -> bool:
        return bool(_KEY.fullmatch(key)) and not _TELLTALE.search(key) and key not in self._identities

    def _digest(self, text: str) -> str:
        return blake2b(text.encode(errors="replace"), digest_size=4, key=self._key).hexdigest()


class _Rewriter:
    """Rewrites the tokens of one text."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._key: str | None = None
        """Under which a value stands; None outside of everything."""

    def rewrite(self, token: re.Match[str]) -> str:
        text = token.group()
        match token.lastgroup:
            case "key":
                self._key = _content(text)
                return json.dumps(self._redactor.key(self._key), ensure_ascii=False)
            case "text":
                return json.dumps(self._redactor.text(self._key or "", _content(text)), ensure_ascii=False)
            case "broken":
                return self._rewrite_broken(text)
            case "mark":
                if text in "{}]" or (text == "[" and self._key is None):
                    self._key = ""
                return text
            case _:
                return self._rewrite_bare(text)

    def _rewrite_broken(self, text: str) -> str:
        """Return something that is broken in the same way."""
        end = '"' if len(text) > 1 and text.endswith('"') else ""
        content = text[1 : len(text) - len(end)]
        pseudonym = self._redactor.pseudonym(content)
        if '"' in content and '"' not in pseudonym:
            pseudonym = pseudonym.replace("-", '-"')
        return f'"{pseudonym}{end}'

    def _rewrite_bare(self, text: str) -> str:
        if self._key is not None and _LITERAL.fullmatch(text):
            return "0" if _IDENTITY_NUMBERS.fullmatch(self._key) else text
        return re.sub(r"[^\W\d]", "x", re.sub(r"\d", "0", text))


def _content(token: str) -> str:
    """Return what a text in quotes says."""
    try:
        content: str = json.loads(token, strict=False)
    except ValueError:
        return token[1:-1]
    return content


REDACTOR: Final = Redactor()
"""The one of this process, so that logs and diagnostics of all readers use the same names."""
