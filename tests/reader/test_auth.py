"""HTTP authentication with devices, and with others that imitate them."""

from collections.abc import AsyncGenerator

import aiohttp
from aiohttp import web
import pytest

from custom_components.energy_sse.reader import AuthScheme, ReaderAuthDowngradeError, ReaderProtocolError
from custom_components.energy_sse.reader.auth import parse_schemes
from custom_components.energy_sse.reader.client import DeviceClient
from custom_components.energy_sse.reader.exceptions import ReaderAuthenticationError
from tests.simulators.digest import BasicLogin, DigestLogin

PATH = "/api/v1/system"
BASIC = 'Basic realm="whatwatt"'


class Device:
    """Server that sends configured responses and stores the credentials that it receives."""

    def __init__(self) -> None:
        self.host = ""
        self.login: DigestLogin | BasicLogin | None = None
        self.challenges: list[str] | None = None
        """Challenges of all responses, instead of those of the login."""

        self.credentials: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Respond, or send a challenge."""
        authorization = request.headers.get("Authorization")
        self.credentials.append(authorization)
        challenges = self.challenges
        if challenges is None and self.login is not None:
            challenge = self.login.check(authorization, request.method, request.path_qs)
            challenges = None if challenge is None else [challenge]
        if challenges is None:
            return web.json_response({})
        response = web.Response(status=401)
        for each in challenges:
            response.headers.add("WWW-Authenticate", each)
        return response

    @property
    def received_the_password(self) -> bool:
        """Whether the password was received unencrypted."""
        return any(each is not None and each.startswith("Basic") for each in self.credentials)


@pytest.fixture
async def device() -> AsyncGenerator[Device]:
    """Return a device without a password."""
    async for each in running():
        yield each


@pytest.fixture
async def elsewhere() -> AsyncGenerator[Device]:
    """Return another one."""
    async for each in running():
        yield each


async def running() -> AsyncGenerator[Device]:
    device = Device()
    app = web.Application()
    app.router.add_get("/{path:.*}", device.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    device.host = f"127.0.0.1:{runner.addresses[0][1]}"
    yield device
    await runner.cleanup()


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
@pytest.mark.parametrize("login", [None, AuthScheme.NONE, AuthScheme.BASIC, AuthScheme.DIGEST])
async def test_basic_is_not_used_when_digest_is_offered_too(
    session: aiohttp.ClientSession, device: Device, challenges: list[str], login: AuthScheme | None
) -> None:
    device.challenges = challenges
    http = DeviceClient(session, device.host, "secret", login)
    for _ in range(3):
        with pytest.raises(ReaderAuthenticationError):
            await http.get_json(PATH)
    assert not device.received_the_password


@pytest.mark.parametrize("number", [4, 5])
async def test_password_is_sent_for_at_most_four_challenges(
    session: aiohttp.ClientSession, device: Device, number: int
) -> None:
    device.challenges = ['Basic realm="x"'] * number
    with pytest.raises(ReaderAuthenticationError):
        await DeviceClient(session, device.host, "secret").get_json(PATH)
    assert device.received_the_password == (number == 4)


@pytest.mark.parametrize(
    "parameters", ['domain="http://[::1"', 'domain="http://a:b/"', 'algorithm=MD6, qop="auth"', 'nonce=""']
)
async def test_invalid_challenge_is_a_protocol_error(
    session: aiohttp.ClientSession, device: Device, parameters: str
) -> None:
    device.challenges = [f'Digest realm="y", nonce="z", {parameters}']
    with pytest.raises(ReaderProtocolError, match="the authentication challenge is invalid"):
        await DeviceClient(session, device.host, "secret").get_json(PATH)


# ------------------------------------------------------------------------------------ downgrades


async def test_scheme_is_learned_from_the_device(session: aiohttp.ClientSession, device: Device) -> None:
    http = DeviceClient(session, device.host)
    assert http.auth_scheme is None
    await http.get_json(PATH)
    assert http.auth_scheme is AuthScheme.NONE
    http = DeviceClient(session, device.host, "secret")
    await http.get_json(PATH)
    assert http.auth_scheme is None, "the device may ask for the password later"
    device.login = BasicLogin("secret")
    await http.get_json(PATH)
    assert http.auth_scheme is AuthScheme.BASIC
    device.login = DigestLogin("secret")
    await http.get_json(PATH)
    assert http.auth_scheme is AuthScheme.DIGEST
    schemes = [credentials and credentials.partition(" ")[0] for credentials in device.credentials]
    assert schemes == [None, None, None, "Basic", "Basic", None, "Digest"]


async def test_downgrade_from_digest_to_none_is_rejected(
    session: aiohttp.ClientSession, device: Device
) -> None:
    http = DeviceClient(session, device.host, "secret", AuthScheme.DIGEST)
    with pytest.raises(ReaderAuthDowngradeError) as raised:
        await http.get_json(PATH)
    assert raised.value.scheme is AuthScheme.NONE
    assert http.auth_scheme is AuthScheme.DIGEST


async def test_downgrade_from_digest_to_basic_is_rejected(
    session: aiohttp.ClientSession, device: Device
) -> None:
    device.login = BasicLogin("secret")
    http = DeviceClient(session, device.host, "secret", AuthScheme.DIGEST)
    for _ in range(3):
        with pytest.raises(ReaderAuthDowngradeError) as raised:
            await http.get_json(PATH)
        assert raised.value.scheme is AuthScheme.BASIC
    assert not device.received_the_password


async def test_downgrade_from_basic_to_none_is_rejected(
    session: aiohttp.ClientSession, device: Device
) -> None:
    device.login = BasicLogin("secret")
    http = DeviceClient(session, device.host, "secret", AuthScheme.BASIC)
    await http.get_json(PATH)
    device.login = None
    http.reset_auth()
    with pytest.raises(ReaderAuthDowngradeError):
        await http.get_json(PATH)


async def test_digest_for_another_domain_does_not_allow_a_downgrade(
    session: aiohttp.ClientSession, device: Device
) -> None:
    http = DeviceClient(session, device.host, "secret")
    device.login = login = DigestLogin("secret")
    challenge = login.challenge
    login.challenge = lambda *, stale=False: f'{challenge(stale=stale)}, domain="/nowhere"'  # type: ignore[method-assign]  # a rogue's
    await http.get_json(PATH)
    device.login = None
    for _ in range(2):
        with pytest.raises(ReaderAuthDowngradeError):
            await http.get_json(PATH)
    device.login = BasicLogin("secret")
    with pytest.raises(ReaderAuthDowngradeError):
        await http.get_json(PATH)
    assert not device.received_the_password


async def test_unknown_scheme_allows_basic_at_trusted_address_only(
    session: aiohttp.ClientSession, device: Device, elsewhere: Device
) -> None:
    """The entry of an older version has no scheme."""
    device.login = elsewhere.login = BasicLogin("secret")
    http = DeviceClient(session, device.host, "secret")
    http.move_to(elsewhere.host, is_trusted=False)
    with pytest.raises(ReaderAuthDowngradeError):
        await http.get_json(PATH)
    elsewhere.login = None
    with pytest.raises(ReaderAuthDowngradeError):
        await http.get_json(PATH)
    assert elsewhere.credentials == [None, None]
    http.move_to(device.host, is_trusted=True)
    await http.get_json(PATH)
    assert http.auth_scheme is AuthScheme.BASIC


async def test_device_without_a_password_is_accepted_anywhere(
    session: aiohttp.ClientSession, device: Device, elsewhere: Device
) -> None:
    http = DeviceClient(session, device.host)
    http.move_to(elsewhere.host, is_trusted=False)
    await http.get_json(PATH)
    assert http.auth_scheme is AuthScheme.NONE


async def test_reset_requires_a_new_challenge(session: aiohttp.ClientSession, device: Device) -> None:
    device.login = DigestLogin("secret")
    http = DeviceClient(session, device.host, "secret")
    await http.get_json(PATH)
    await http.get_json(PATH)
    assert [each is None for each in device.credentials] == [True, False, False], (
        "authentication costs one request"
    )
    http.reset_auth()
    device.login = None
    with pytest.raises(ReaderAuthDowngradeError):
        await http.get_json(PATH)
    assert device.credentials[-1] is None


async def test_client_without_credentials_sends_no_password(
    session: aiohttp.ClientSession, device: Device
) -> None:
    http = DeviceClient(session, device.host, "secret").without_credentials(can_have_password=True)
    device.login = BasicLogin("secret")
    with pytest.raises(ReaderAuthenticationError):
        await http.get_json(PATH)
    assert device.credentials == [None]
