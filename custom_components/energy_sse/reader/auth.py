"""The login of one device: what it asks for, and what it gets.

A password never goes out more openly than the device has asked for it before, and a device that has asked for
a login is not believed without one: another device could pretend to be it.
"""

from collections.abc import Iterable
from enum import StrEnum
import re
from typing import Final
from urllib.request import parse_http_list

import aiohttp
from aiohttp import hdrs

from .exceptions import ReaderAuthDowngradeError

# The scheme that a challenge begins with (RFC 9110, section 11.3): a token that no value is given to.
_SCHEME: Final = re.compile(r"\s*([\w!#$%&'*+.^`|~-]+)(?:[ \t]+(?!=)|\s*$)")

# Headers. A device sends one, or one for each scheme. Parsing a hundred takes a tenth of a second.
_MAX_CHALLENGES: Final = 4


class AuthScheme(StrEnum):
    """How a device lets clients in. The weakest comes first."""

    NONE = "none"
    BASIC = "basic"
    """The password goes over the network as it is. What whatwatt firmware before 1.10 asks for."""

    DIGEST = "digest"
    """Only an answer goes over the network, which nobody can give who does not know the password."""

    def is_weaker_than(self, other: AuthScheme) -> bool:
        """Tell whether another device could more easily pretend to be one with this login."""
        order = list(AuthScheme)
        return order.index(self) < order.index(other)


def parse_schemes(challenges: Iterable[str]) -> set[str]:
    """Return the schemes in the values of `WWW-Authenticate`, each of which may hold several challenges."""
    parts = (part for challenge in challenges for part in parse_http_list(challenge))
    return {match[1].lower() for part in parts if (match := _SCHEME.match(part))}


class DeviceAuth:
    """Logs in to one device: by HTTP Digest with an empty user name, or Basic where nothing is stronger."""

    def __init__(self, password: str | None, scheme: AuthScheme | None) -> None:
        """Prepare for a device at its known address.

        `scheme` is how it has let us in before. If that is not known, any scheme is accepted at this address.
        """
        self.scheme = scheme
        """How the device lets us in; None while that is not known."""

        self._password = password
        self.move(is_trusted=True)

    def move(self, *, is_trusted: bool) -> None:
        """Begin at an address.

        The owner agreed to send the password to a trusted address. At any other address the password is only
        used with Digest, because another device can announce the public id of the reader and read it.
        """
        self._minimum = self.scheme or AuthScheme.NONE
        if self._password and not is_trusted and self.scheme in (None, AuthScheme.BASIC):
            self._minimum = AuthScheme.DIGEST
        self.reset()

    def reset(self) -> None:
        """Forget the device's challenge, so that it has to ask anew.

        Remembered, a challenge saves a request. But who is asked with the answer at hand has not shown that
        they want one.
        """
        self._digest = aiohttp.DigestAuthMiddleware("", self._password) if self._password else None
        self._digest_was_accepted = False
        self._sends_basic = False

    @property
    def header(self) -> dict[str, str]:
        """What a request has to say by itself."""
        if self._sends_basic and self._password:
            return {hdrs.AUTHORIZATION: aiohttp.encode_basic_auth("", self._password)}
        return {}

    @property
    def middlewares(self) -> tuple[aiohttp.DigestAuthMiddleware, ...]:
        """What logs a request in as soon as the device asks for it."""
        return () if self._sends_basic or self._digest is None else (self._digest,)

    def should_retry(self, response: aiohttp.ClientResponse) -> bool:
        """Tell whether a refused login is worth one more request.

        Raises ReaderAuthDowngradeError where that would tell the password too openly.
        """
        challenges = response.headers.getall(hdrs.WWW_AUTHENTICATE, [])
        if not self._password or len(challenges) > _MAX_CHALLENGES:
            return False
        schemes = parse_schemes(challenges)
        if AuthScheme.DIGEST in schemes:
            # A nonce can go stale between challenge and answer. When an earlier challenge was at hand, the
            # middleware has answered twice already.
            is_worth_it = self._sends_basic or not self._digest_was_accepted
            self._sends_basic = self._digest_was_accepted = False
            return is_worth_it
        if AuthScheme.BASIC in schemes and not self._sends_basic:
            self._verify(AuthScheme.BASIC)
            self._sends_basic = True
            return True
        return False

    def on_success(self, response: aiohttp.ClientResponse) -> None:
        """Note how the device has let us in.

        Raises ReaderAuthDowngradeError where that is no proof any more that it is the one that it was.
        """
        name = response.request_info.headers.get(hdrs.AUTHORIZATION, "").partition(" ")[0].lower()
        scheme = AuthScheme(name or AuthScheme.NONE)
        self._verify(scheme)
        self._digest_was_accepted = scheme is AuthScheme.DIGEST
        if self.scheme is not None or scheme is not AuthScheme.NONE or not self._password:
            self.scheme = self._minimum = scheme

    def _verify(self, scheme: AuthScheme) -> None:
        if scheme.is_weaker_than(self._minimum):
            raise ReaderAuthDowngradeError(scheme)
