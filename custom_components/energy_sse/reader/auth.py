"""HTTP authentication with one device (RFC 9110, section 11).

The password is never sent with a weaker authentication scheme than the device has used before. A device that
no longer asks for credentials is rejected. These rules prevent a downgrade attack by another device.
"""

from collections.abc import Iterable
from http import HTTPStatus
import re
from typing import Final
from urllib.request import parse_http_list

import aiohttp
from aiohttp import hdrs

from .models import AuthScheme, ReaderAuthDowngradeError, ReaderProtocolError, Reason

# The scheme at the beginning of a challenge (RFC 9110, section 11.3): a token without a value.
_SCHEME: Final = re.compile(r"\s*([\w!#$%&'*+.^`|~-]+)(?:[ \t]+(?!=)|\s*$)")

# Headers. A device sends one, or one for each scheme. Parsing a hundred takes a tenth of a second.
_MAX_CHALLENGES: Final = 4


def parse_schemes(challenges: Iterable[str]) -> set[str]:
    """Return the schemes in the values of `WWW-Authenticate`, each of which may hold several challenges."""
    parts = (part for challenge in challenges for part in parse_http_list(challenge))
    return {match[1].lower() for part in parts if (match := _SCHEME.match(part))}


class DeviceAuth:
    """Authentication with one device: Digest with an empty user name, or Basic if Digest is not offered.

    It is a middleware for the requests of aiohttp.
    """

    def __init__(self, password: str | None, scheme: AuthScheme | None) -> None:
        """Initialize for a device at a trusted address."""
        self.password = password
        self.scheme = scheme
        """Scheme that the device has used before. With None, any scheme is accepted at a trusted address."""

        self._is_trusted = True
        self.reset()

    def move(self, *, is_trusted: bool) -> None:
        """Use another address for the next requests."""
        self._is_trusted = is_trusted
        self.reset()

    def reset(self) -> None:
        """Send no credentials until the device sends a challenge.

        Reusing a challenge would save a request. But only by sending a challenge does a device prove that it
        still requires credentials.
        """
        self._digest = aiohttp.DigestAuthMiddleware("", self.password) if self.password else None
        """None if there is no password, or if it is sent with Basic."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and send it again with other credentials if a challenge requires them.

        Raises ReaderAuthDowngradeError if these credentials would be too weak, and ReaderProtocolError if the
        challenge is invalid.
        """
        response = await self._send(request, handler)
        if response.status == HTTPStatus.UNAUTHORIZED:
            response.release()
            if self._use_challenge(response):
                request.headers.pop(hdrs.AUTHORIZATION, None)
                response = await self._send(request, handler)
        return response

    def on_success(self, response: aiohttp.ClientResponse) -> None:
        """Store the scheme with which the device accepted a request.

        Raises ReaderAuthDowngradeError if the scheme does not prove any more that this is the same device.
        """
        name = response.request_info.headers.get(hdrs.AUTHORIZATION, "").partition(" ")[0].lower()
        scheme = AuthScheme(name or AuthScheme.NONE)
        self._verify(scheme)
        # A device with a password may not require it for every path, or not yet.
        if self.scheme is not None or scheme is not AuthScheme.NONE or not self.password:
            self.scheme = scheme

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._digest is None:
            if self.password:
                request.headers[hdrs.AUTHORIZATION] = aiohttp.encode_basic_auth("", self.password)
            return await handler(request)
        try:
            return await self._digest(request, handler)
        except (aiohttp.ClientError, ValueError) as error:
            # aiohttp has no class for the errors of a challenge. Subclasses are errors of the connection.
            if type(error) not in (aiohttp.ClientError, ValueError):
                raise
            raise ReaderProtocolError(Reason.INVALID_RESPONSE, "authentication challenge") from error

    def _use_challenge(self, response: aiohttp.ClientResponse) -> bool:
        """Choose the scheme for the next request from the challenges in a response with status 401.

        Return whether that request can succeed. Raises ReaderAuthDowngradeError.
        """
        challenges = response.headers.getall(hdrs.WWW_AUTHENTICATE, [])
        if not self.password or len(challenges) > _MAX_CHALLENGES:
            return False
        schemes = parse_schemes(challenges)
        if AuthScheme.DIGEST in schemes:
            # The rejected Digest credentials can have used an expired nonce (RFC 7616, section 3.3).
            if self._digest is None:
                self.reset()
            return True
        if AuthScheme.BASIC in schemes and self._digest is not None:
            self._verify(AuthScheme.BASIC)
            self._digest = None
            return True
        return False

    def _verify(self, scheme: AuthScheme) -> None:
        if scheme.is_weaker_than(self._minimum):
            raise ReaderAuthDowngradeError(scheme)

    @property
    def _minimum(self) -> AuthScheme:
        """Weakest accepted scheme.

        The owner agreed to send the password to a trusted address. At any other address it is only used with
        Digest, because another device can announce the public id of the reader and receive the password.
        """
        if self.password and not self._is_trusted and self.scheme in (None, AuthScheme.BASIC):
            return AuthScheme.DIGEST
        return self.scheme or AuthScheme.NONE
