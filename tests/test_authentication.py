"""Password of a reader: to which devices and addresses it is sent."""

from socket import AF_INET
from typing import Any, override

from aiohttp import TCPConnector, web
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.energy_sse.const import CONF_AUTH_SCHEME, DOMAIN
from custom_components.energy_sse.reader import AuthScheme, ConnectionState

from .conftest import Start
from .dialogs import discover, enter_host, outcome, steps_in_progress, submit
from .home_assistant import announcement, entry_for, set_up
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.digest import BasicAuth, DigestAuth
from .simulators.server import Handler
from .time_machine import TimeMachine
from .wait import wait_until

PASSWORD = "secret"


class Rogue(WhatwattSimulator):
    """A device with the id of a reader, which stores the credentials that it receives."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.credentials: list[str] = []

    @override
    async def respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.credentials.append(request.headers.get("Authorization", ""))
        return await super().respond(request, handler)

    @property
    def has_password(self) -> bool:
        """True if the device has received the password unencrypted."""
        return any(each.startswith("Basic") for each in self.credentials)


@pytest.fixture
async def rogue(house: House, start: Start) -> Rogue:
    """Return a rogue device that asks for HTTP Basic."""
    rogue = Rogue(house)
    rogue.auth = BasicAuth(PASSWORD)
    await start(rogue)
    return rogue


@pytest.fixture
async def live(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt with a password that sends readings."""
    return await start(WhatwattSimulator(house, password=PASSWORD), live=True)


async def announce(hass: HomeAssistant, reader: WhatwattSimulator) -> ConfigFlowResult:
    return await discover(hass, announcement(reader))


def stored_scheme(scheme: str) -> dict[str, Any]:
    """Return the data of an entry that has stored an authentication scheme."""
    return {CONF_AUTH_SCHEME: scheme}


async def has_stream(hass: HomeAssistant, reader: WhatwattSimulator) -> bool:
    """Wait until a reader has its stream again."""
    await hass.async_block_till_done()
    await wait_until(lambda: reader.streams)
    return True


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (None, AuthScheme.NONE),
        (BasicAuth(PASSWORD), AuthScheme.BASIC),
        (DigestAuth(PASSWORD), AuthScheme.DIGEST),
    ],
    ids=["none", "basic", "digest"],
)
async def test_entry_without_a_scheme_learns_it(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    auth: BasicAuth | DigestAuth | None,
    expected: AuthScheme,
) -> None:
    whatwatt.auth = auth
    entry = await set_up(hass, whatwatt)
    assert entry.data == {**entry_for(whatwatt).data, CONF_AUTH_SCHEME: expected}


# -------------------------------------------------------------------------------- an announced address


@pytest.mark.parametrize("auth", [None, BasicAuth(PASSWORD)], ids=["no authentication", "Basic"])
@pytest.mark.parametrize("scheme", [{}, stored_scheme("digest")], ids=["unknown", "digest"])
@pytest.mark.parametrize("is_loaded", [True, False])
async def test_announced_rogue_does_not_get_the_password(  # noqa: PLR0917 (fixtures)
    hass: HomeAssistant,
    live: WhatwattSimulator,
    rogue: Rogue,
    time_machine: TimeMachine,
    auth: BasicAuth | None,
    scheme: dict[str, Any],
    *,
    is_loaded: bool,
) -> None:
    rogue.auth = auth
    entry = entry_for(live, **scheme)
    entry.add_to_hass(hass)
    if is_loaded:
        await hass.config_entries.async_setup(entry.entry_id)
    host = live.host
    await live.stop()
    if is_loaded:
        await time_machine.advance(30)
        await announce(hass, rogue)
    else:
        await hass.config_entries.async_setup(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_RETRY
        assert outcome(await announce(hass, rogue)) == "abort not_supported"
    await time_machine.advance(600)
    assert rogue.credentials
    assert not rogue.has_password
    assert rogue.stream_count == 0
    assert entry.data[CONF_HOST] == host
    assert steps_in_progress(hass) == []
    await live.start(live.port, live=True)
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.data.is_streaming


async def test_basic_password_is_not_sent_to_an_announced_address(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> None:
    live.auth = BasicAuth(PASSWORD)
    entry = await set_up(hass, live)
    host = live.host
    await live.stop()
    await time_machine.advance(30)
    await announce(hass, rogue)
    await time_machine.advance(600)
    assert rogue.credentials
    assert not rogue.has_password
    assert entry.data[CONF_HOST] == host
    assert steps_in_progress(hass) == ["unencrypted"]
    await live.start(live.port, live=True)
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.data.is_streaming
    assert steps_in_progress(hass) == []


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_basic_password_is_sent_to_a_confirmed_new_address(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine, *, is_loaded: bool
) -> None:
    live.auth = BasicAuth(PASSWORD)
    entry = await set_up(hass, live)
    if not is_loaded:
        await hass.config_entries.async_unload(entry.entry_id)
    await live.stop()
    if not is_loaded:
        await hass.config_entries.async_setup(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_RETRY
    await time_machine.advance(30)
    await live.start(live=True)
    await announce(hass, live)
    await time_machine.advance(300)
    assert live.stream_count == 1
    assert entry.data[CONF_HOST] != live.host
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert outcome(result) == "form unencrypted"
    assert (result["description_placeholders"] or {})["host"] == live.host
    assert outcome(await submit(hass, result)) == "abort reauth_successful"
    assert await has_stream(hass, live)
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (live.host, AuthScheme.BASIC)


async def test_reader_is_followed_after_an_update_to_digest(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.auth = BasicAuth(PASSWORD)
    entry = await set_up(hass, live)
    await live.stop()
    await time_machine.advance(30)
    live.auth = DigestAuth(PASSWORD)
    await live.start(live=True)
    await announce(hass, live)
    await time_machine.advance(120)
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (live.host, AuthScheme.DIGEST)
    assert entry.runtime_data.coordinator.data.is_streaming


# -------------------------------------------------------------------------------- the known address


@pytest.mark.smoke
async def test_rogue_at_the_address_needs_a_confirmation(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    await live.stop()
    await rogue.stop()
    await rogue.start(live.port)
    await time_machine.advance(120)
    assert entry.runtime_data.coordinator.connection_state is ConnectionState.AUTH_FAILED
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "reauth_confirm"
    result = await submit(hass, flow, password=PASSWORD)
    assert outcome(result) == "form unencrypted"
    assert result["description_placeholders"] == {
        "name": r"Meter \(whatwatt Go\)",
        "host": entry.data[CONF_HOST],
    }
    assert not rogue.has_password
    assert outcome(await submit(hass, result)) == "abort reauth_successful"
    assert rogue.has_password
    assert entry.data[CONF_AUTH_SCHEME] == AuthScheme.BASIC
    assert await has_stream(hass, rogue)


async def test_entered_address_gets_a_basic_password_only_if_confirmed(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue
) -> None:
    entry = await set_up(hass, live)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=rogue.host)
    assert outcome(flow) == "form unencrypted"
    assert not rogue.has_password
    assert entry.data[CONF_HOST] == live.host
    await rogue.stop()
    flow = await submit(hass, flow)
    assert outcome(flow) == "form unencrypted cannot_connect"
    await rogue.start(rogue.port)
    assert outcome(await submit(hass, flow)) == "abort reconfigure_successful"
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (rogue.host, AuthScheme.BASIC)


@pytest.mark.smoke
@pytest.mark.parametrize("auth", [DigestAuth(PASSWORD), None], ids=["Digest", "no authentication"])
async def test_new_reader_gets_a_basic_password_only_if_confirmed(
    hass: HomeAssistant, rogue: Rogue, auth: DigestAuth | None
) -> None:
    flow = await enter_host(hass, rogue.host)
    assert outcome(flow) == "form password"
    flow = await submit(hass, flow, password=PASSWORD)
    assert outcome(flow) == "form unencrypted"
    assert not rogue.has_password
    # The device uses another scheme now.
    rogue.auth = auth
    flow = await submit(hass, flow)
    if auth is None:
        assert outcome(flow) == "form unprotected"
        flow = await submit(hass, flow)
    assert outcome(flow) == "create_entry"
    assert flow["data"][CONF_AUTH_SCHEME] == ("none" if auth is None else "digest")
    assert (CONF_PASSWORD in flow["data"]) == (auth is not None)


async def test_rogue_cannot_be_added_in_place_of_the_reader(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue
) -> None:
    entry = await set_up(hass, live)
    rogue.auth = None
    assert outcome(await enter_host(hass, rogue.host)) == "abort already_configured"
    assert entry.data[CONF_HOST] == live.host


# -------------------------------------------------------------------------------- a changed password


@pytest.mark.smoke
async def test_removed_password_is_confirmed_and_deleted(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    live.auth = None
    live.end_streams()
    await time_machine.advance(60)
    assert entry.runtime_data.coordinator.connection_state is ConnectionState.AUTH_FAILED
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "unprotected"
    live.auth = DigestAuth("another")
    result = await submit(hass, flow)
    assert outcome(result) == "form reauth_confirm"
    live.auth = None
    result = await submit(hass, result)
    assert outcome(result) == "form unprotected"
    assert outcome(await submit(hass, result)) == "abort reauth_successful"
    assert CONF_PASSWORD not in entry.data
    assert entry.data[CONF_AUTH_SCHEME] == AuthScheme.NONE
    assert await has_stream(hass, live)


async def test_reauthentication_rejects_another_reader(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue
) -> None:
    entry = entry_for(live, **stored_scheme("digest"))
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_HOST: rogue.host})
    rogue.device_id = "ECC9FF000000"
    for auth in (None, DigestAuth(PASSWORD)):
        rogue.auth = auth
        flow = await submit(hass, await entry.start_reauth_flow(hass), password=PASSWORD)
        assert outcome(flow) == "abort wrong_device"
    assert (entry.data[CONF_PASSWORD], entry.data[CONF_AUTH_SCHEME]) == (PASSWORD, AuthScheme.DIGEST)


async def test_new_basic_password_needs_no_confirmation(hass: HomeAssistant, live: WhatwattSimulator) -> None:
    live.auth = BasicAuth("new")
    entry = entry_for(live, password="old", **stored_scheme("basic"))
    entry.add_to_hass(hass)
    flow = await submit(hass, await entry.start_reauth_flow(hass), password="new")
    assert outcome(flow) == "abort reauth_successful"
    assert (entry.data[CONF_PASSWORD], entry.data[CONF_AUTH_SCHEME]) == ("new", AuthScheme.BASIC)
    assert await has_stream(hass, live)


async def test_first_password_of_a_reader_is_requested(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.auth = None
    entry = await set_up(hass, live)
    live.auth = DigestAuth(PASSWORD)
    live.end_streams()
    await time_machine.advance(60)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert outcome(await submit(hass, flow, password=PASSWORD)) == "abort reauth_successful"
    assert (entry.data[CONF_PASSWORD], entry.data[CONF_AUTH_SCHEME]) == (PASSWORD, AuthScheme.DIGEST)
    assert await has_stream(hass, live)


# -------------------------------------------------------------------------------- another reader

READERS = ["whatwatt", "protected whatwatt", "CurrentlyOne"]


def make(house: House, kind: str, device_id: str) -> WhatwattSimulator | CurrentlyOneSimulator:
    if kind == "CurrentlyOne":
        return CurrentlyOneSimulator(house, device_id=device_id.lower(), name="Casa Mia")
    password = f"of {device_id}" if kind.startswith("protected") else None
    return WhatwattSimulator(house, device_id=device_id, password=password, name="Cellar")


def issue_of(hass: HomeAssistant) -> tuple[str | None, dict[str, str]]:
    (issue,) = (each for (domain, _), each in ir.async_get(hass).issues.items() if domain == DOMAIN)
    return issue.translation_key, dict(issue.translation_placeholders or {})


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("other_kind", READERS)
@pytest.mark.parametrize("is_running", [True, False])
async def test_other_reader_at_the_address_is_reported(  # noqa: PLR0917 (fixtures)
    hass: HomeAssistant,
    house: House,
    start: Start,
    time_machine: TimeMachine,
    kind: str,
    other_kind: str,
    *,
    is_running: bool,
) -> None:
    reader = await start(make(house, kind, "ECC9FF5C7F14"))
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: reader.streams)
    if not is_running:
        await hass.config_entries.async_unload(entry.entry_id)
    await reader.stop()
    other = make(house, other_kind, "ECC9FF8A2B30")
    await other.start(reader.port)
    if is_running:
        await time_machine.advance(120)
    else:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    product = "CurrentlyOne" if kind == "CurrentlyOne" else "whatwatt Go"
    name = {"name": "Meter", "reader": rf"Meter \({product}\)", "host": reader.host}
    name["url"] = f"http://{reader.host}"
    if other_kind == "protected whatwatt" and kind != "CurrentlyOne":
        # Without its password, it cannot be distinguished from the reader.
        assert steps_in_progress(hass) == ["reauth_confirm"]
    elif other_kind == "protected whatwatt":
        assert issue_of(hass) == ("protected_device", {**name, "found": ""})
        assert steps_in_progress(hass) == []
    else:
        found = r"Casa Mia \(CurrentlyOne\)" if other_kind == "CurrentlyOne" else r"Cellar \(whatwatt Go\)"
        assert issue_of(hass) == ("wrong_device", {**name, "found": found})
        assert steps_in_progress(hass) == []
    await hass.config_entries.async_remove(entry.entry_id)
    await other.stop()


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("other_kind", READERS)
async def test_reconfiguration_rejects_another_reader(
    hass: HomeAssistant, house: House, start: Start, kind: str, other_kind: str
) -> None:
    reader, other = make(house, kind, "ECC9FF5C7F14"), make(house, other_kind, "ECC9FF8A2B30")
    await start(other)
    entry = entry_for(reader, **stored_scheme("digest" if reader.password else "none"))
    entry.add_to_hass(hass)
    host = entry.data[CONF_HOST]
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=other.host)
    if other_kind == "protected whatwatt":
        error = "protected_device" if kind == "CurrentlyOne" else "invalid_auth"
        assert outcome(flow) == f"form reconfigure {error}"
    else:
        assert outcome(flow) == "form reconfigure wrong_device"
        product = "CurrentlyOne" if kind == "CurrentlyOne" else "whatwatt Go"
        assert flow["description_placeholders"] == {
            "name": rf"Meter \({product}\)",
            # An error is shown as plain text.
            "reader": f"Meter ({product})",
            "found": "Casa Mia (CurrentlyOne)" if other_kind == "CurrentlyOne" else "Cellar (whatwatt Go)",
        }
    assert entry.data[CONF_HOST] == host


async def test_announced_currentlyone_cannot_have_a_password(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, rogue: Rogue
) -> None:
    info = announcement(currentlyone)
    info.port = rogue.port
    assert outcome(await discover(hass, info)) == "abort not_supported"


async def test_announced_reader_without_an_id_has_its_model_name(
    hass: HomeAssistant, live: WhatwattSimulator
) -> None:
    info = announcement(live)
    info.properties.clear()
    flow = await discover(hass, info)
    assert outcome(flow) == "form password"
    assert (flow["description_placeholders"] or {})["name"] == "whatwatt Go"
    (progress,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert progress["context"]["title_placeholders"] == {"name": "whatwatt Go"}
    flow = await submit(hass, flow, password=PASSWORD)
    assert (outcome(flow), flow["title"]) == ("create_entry", "whatwatt Go 5C7F14")


# -------------------------------------------------------------------------------- a protected device


@pytest.fixture
async def other(house: House, start: Start) -> WhatwattSimulator:
    """Return another reader with a password."""
    return await start(WhatwattSimulator(house, device_id="ECC9FF8A2B30", password="of its own"))


async def move(reader: WhatwattSimulator, other: WhatwattSimulator) -> None:
    """Give a reader another address, and its old address to the other one."""
    port = reader.port
    await reader.stop()
    await other.stop()
    await other.start(port)
    await reader.start(live=True)


async def test_moved_reader_is_followed_when_its_address_is_protected(
    hass: HomeAssistant, live: WhatwattSimulator, other: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    await move(live, other)
    await announce(hass, live)
    await time_machine.advance(120)
    assert entry.data[CONF_HOST] == live.host
    assert entry.runtime_data.coordinator.data.is_streaming
    assert steps_in_progress(hass) == []


async def test_password_is_requested_when_all_addresses_reject_it(
    hass: HomeAssistant, live: WhatwattSimulator, other: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    other.device_id = live.device_id
    await announce(hass, other)
    live.auth = DigestAuth("another")
    live.end_streams()
    await time_machine.advance(120)
    assert steps_in_progress(hass) == ["reauth_confirm"]


@pytest.mark.parametrize("is_running", [True, False])
async def test_reader_is_followed_after_its_password_was_requested(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    other: WhatwattSimulator,
    time_machine: TimeMachine,
    *,
    is_running: bool,
) -> None:
    entry = await set_up(hass, live)
    if not is_running:
        await hass.config_entries.async_unload(entry.entry_id)
    await move(live, other)
    if is_running:
        await time_machine.advance(120)
        assert entry.runtime_data.coordinator.connection_state is ConnectionState.AUTH_FAILED
    else:
        await hass.config_entries.async_setup(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_ERROR
    assert steps_in_progress(hass) == ["reauth_confirm"]
    assert outcome(await announce(hass, live)) == "abort already_configured"
    assert await has_stream(hass, live)
    assert entry.data[CONF_HOST] == live.host
    assert steps_in_progress(hass) == []


# -------------------------------------------------------------------------------- added a second time


@pytest.mark.parametrize("by_name", [False, True])
async def test_password_of_a_streaming_reader_is_not_requested(
    hass: HomeAssistant, live: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch, *, by_name: bool
) -> None:
    await set_up(hass, live)
    address = {
        "hostname": "",
        "host": "127.0.0.1",
        "port": live.port,
        "family": AF_INET,
        "proto": 0,
        "flags": 0,
    }

    async def resolve(*_args: object, **_kwargs: object) -> list[dict[str, Any]]:
        return [address]

    monkeypatch.setattr(TCPConnector, "_resolve_host", resolve)
    flow = await enter_host(hass, f"whatwatt-5C7F14.local:{live.port}" if by_name else live.host)
    assert outcome(flow) == "abort already_configured"
    assert flow["description_placeholders"] == {"name": "Meter"}


async def test_reader_can_be_added_at_the_address_of_a_lost_one(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    live.device_id = "ECC9FF8A2B30"
    live.end_streams()
    await time_machine.advance(60)
    flow = await enter_host(hass, live.host)
    assert outcome(flow) == "form password"
    assert outcome(await submit(hass, flow, password=PASSWORD)) == "create_entry"
