"""HTTP authentication (RFC 9110): schemes, challenges, downgrade attacks."""

import aiohttp
from aiohttp import web
import pytest

from custom_components.energy_sse.reader import AuthScheme, ReaderAuthDowngradeError, ReaderProtocolError
from custom_components.energy_sse.reader.auth import parse_schemes
from custom_components.energy_sse.reader.client import DeviceClient
from custom_components.energy_sse.reader.models import ReaderAuthenticationError
from tests.reader.test_client import Serve, serve
from tests.simulators.digest import BasicAuth, DigestAuth

__all__ = ["serve"]

PATH = "/api/v1/system"
BASIC = 'Basic realm="whatwatt"'


class Device:
    """A device that stores the credentials that it receives."""

    def __init__(self) -> None:
        self.host = ""
        self.auth: DigestAuth | BasicAuth | None = None
        self.challenges: list[str] | None = None
        """Challenges of every response, instead of those of `auth`."""

        self.credentials: list[str | None] = []

    async def respond(self, request: web.Request) -> web.Response:
        """Respond with an object, or with challenges."""
        authorization = request.headers.get("Authorization")
        self.credentials.append(authorization)
        challenges = self.challenges
        if challenges is None and self.auth is not None:
            challenge = self.auth.check(authorization, request.method, request.path_qs)
            challenges = None if challenge is None else [challenge]
        if challenges is None:
            return web.json_response({})
        response = web.Response(status=401)
        for each in challenges:
            response.headers.add("WWW-Authenticate", each)
        return response

    @property
    def has_password(self) -> bool:
        """True if the password was received unencrypted."""
        return any(each is not None and each.startswith("Basic") for each in self.credentials)


@pytest.fixture
async def device(serve: Serve) -> Device:
    """Return a device without a password."""
    device = Device()
    device.host = await serve(device.respond)
    return device


# ---------------------------------------------------------------------------------------- challenges


@pytest.mark.parametrize(
    ("challenges", "schemes"),
    [
        ([], set()),
        ([""], set()),
        (['Basic realm="x"'], {"basic"}),
        (["Basic"], {"basic"}),
        (['bAsIc realm="x", DIGEST realm="y", nonce="z"'], {"basic", "digest"}),
        (['Basic realm="x"', 'Digest realm="y", nonce="z"'], {"basic", "digest"}),
        (['Digest\trealm="y", nonce="z"'], {"digest"}),
        (["Basic,Digest"], {"basic", "digest"}),
        ([' , Basic realm="x" ,, Digest nonce="z"'], {"basic", "digest"}),
        (["Negotiate YWJj==, Digest nonce=z"], {"negotiate", "digest"}),
        (['Basic realm="a, Digest b"'], {"basic"}),
        (['Basic realm="a\\", Digest b"'], {"basic"}),
        (['Basic realm = "x", charset = "UTF-8"'], {"basic"}),
    ],
)
def test_schemes_of_all_challenges_are_parsed(challenges: list[str], schemes: set[str]) -> None:
    assert parse_schemes(challenges) == schemes


@pytest.mark.parametrize(
    "challenges",
    [
        ['Basic realm="x", Digest realm="y", nonce="z"'],
        ['Basic realm="x"', 'Digest realm="y", nonce="z"'],
        ['Digest realm="y", nonce="z"', 'Basic realm="x"'],
        ['Digest\trealm="y", nonce="z"', 'Basic realm="x"'],
        ["Digest", "Basic"],
    ],
)
@pytest.mark.parametrize("scheme", [None, AuthScheme.NONE, AuthScheme.BASIC, AuthScheme.DIGEST])
async def test_password_is_not_sent_unencrypted_when_digest_is_offered(
    session: aiohttp.ClientSession, device: Device, challenges: list[str], scheme: AuthScheme | None
) -> None:
    device.challenges = challenges
    http = DeviceClient(session, device.host, "secret", scheme)
    for _ in range(3):
        with pytest.raises(ReaderAuthenticationError):
            await http.get_json(PATH)
    assert not device.has_password


@pytest.mark.parametrize("number", [4, 5])
async def test_password_is_sent_for_at_most_four_challenges(
    session: aiohttp.ClientSession, device: Device, number: int
) -> None:
    device.challenges = ['Basic realm="x"'] * number
    with pytest.raises(ReaderAuthenticationError):
        await DeviceClient(session, device.host, "secret").get_json(PATH)
    assert device.has_password == (number == 4)


@pytest.mark.parametrize(
    "parameters", ['domain="http://[::1"', 'domain="http://a:b/"', 'algorithm=MD6, qop="auth"', 'nonce=""']
)
async def test_invalid_challenge_is_a_protocol_error(
    session: aiohttp.ClientSession, device: Device, parameters: str
) -> None:
    device.challenges = [f'Digest realm="y", nonce="z", {parameters}']
    with pytest.raises(ReaderProtocolError, match="authentication challenge"):
        await DeviceClient(session, device.host, "secret").get_json(PATH)


# -------------------------------------------------------------------------------- downgrade attacks


@pytest.mark.parametrize("scheme", [AuthScheme.BASIC, AuthScheme.DIGEST])
async def test_response_without_authentication_is_a_downgrade(
    session: aiohttp.ClientSession, device: Device, scheme: AuthScheme
) -> None:
    http = DeviceClient(session, device.host, "secret", scheme)
    with pytest.raises(ReaderAuthDowngradeError) as raised:
        await http.get_json(PATH)
    assert raised.value.scheme is AuthScheme.NONE
    assert http.auth_scheme is scheme


async def test_password_is_not_sent_after_digest_for_another_domain(
    session: aiohttp.ClientSession, device: Device
) -> None:
    http = DeviceClient(session, device.host, "secret")
    device.auth = auth = DigestAuth("secret")
    challenge = auth.challenge
    auth.challenge = lambda *, stale=False: f'{challenge(stale=stale)}, domain="/nowhere"'  # type: ignore[method-assign]  # a rogue device
    await http.get_json(PATH)
    device.auth = None
    for _ in range(2):
        with pytest.raises(ReaderAuthDowngradeError):
            await http.get_json(PATH)
    device.auth = BasicAuth("secret")
    with pytest.raises(ReaderAuthDowngradeError):
        await http.get_json(PATH)
    assert not device.has_password
