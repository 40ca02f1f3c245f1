"""Devices that are accepted as a reader, and devices that receive its password."""

from collections.abc import AsyncGenerator
from socket import AF_INET
from typing import Any, override

from aiohttp import TCPConnector, web
from homeassistant.config_entries import SOURCE_USER, SOURCE_ZEROCONF, ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import CONF_AUTH_SCHEME, DOMAIN
from custom_components.energy_sse.reader import AuthScheme, ConnectionState

from .conftest import Start
from .home_assistant import announcement, entry_for, set_up
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.digest import BasicLogin, DigestLogin
from .simulators.server import Handler
from .time_machine import TimeMachine
from .wait import wait_until

PASSWORD = "secret"


class Rogue(WhatwattSimulator):
    """Imitates a reader, and stores the credentials that it receives."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.credentials: list[str] = []

    @override
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.credentials.append(request.headers.get("Authorization", ""))
        return await super().answer(request, handler)

    @property
    def received_the_password(self) -> bool:
        """Whether the password was received unencrypted."""
        return any(each.startswith("Basic") for each in self.credentials)


@pytest.fixture
async def rogue(house: House, start: Start) -> Rogue:
    """Return a rogue that asks for HTTP Basic."""
    rogue = Rogue(house)
    rogue.login = BasicLogin(PASSWORD)
    await start(rogue)
    return rogue


@pytest.fixture
async def live(house: House) -> AsyncGenerator[WhatwattSimulator]:
    """Return a whatwatt with a password that sends readings."""
    reader = await WhatwattSimulator(house, password=PASSWORD).start(live=True)
    yield reader
    await reader.stop()


async def announce(hass: HomeAssistant, reader: WhatwattSimulator) -> ConfigFlowResult:
    return await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_ZEROCONF}, data=announcement(reader)
    )


async def submit(hass: HomeAssistant, flow: ConfigFlowResult, **fields: str) -> ConfigFlowResult:
    return await hass.config_entries.flow.async_configure(flow["flow_id"], fields)


def steps_in_progress(hass: HomeAssistant) -> list[str]:
    return [flow["step_id"] for flow in hass.config_entries.flow.async_progress_by_handler(DOMAIN)]


# ------------------------------------------------------------------------------------- stored schemes


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        (None, AuthScheme.NONE),
        (BasicLogin(PASSWORD), AuthScheme.BASIC),
        (DigestLogin(PASSWORD), AuthScheme.DIGEST),
    ],
    ids=["none", "basic", "digest"],
)
async def test_entry_without_a_scheme_stores_the_scheme_of_its_reader(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    login: BasicLogin | DigestLogin | None,
    expected: AuthScheme,
) -> None:
    whatwatt.login = login
    entry = await set_up(hass, whatwatt)
    assert entry.data[CONF_AUTH_SCHEME] == expected
    older = {key: value for key, value in entry.data.items() if key != CONF_AUTH_SCHEME}
    assert older == entry_for(whatwatt).data, "an older version finds all that it knows as it was"


async def test_digest_of_updated_firmware_is_stored(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.login = BasicLogin(PASSWORD)
    entry = await set_up(hass, live)
    live.login = DigestLogin(PASSWORD)
    live.end_streams()
    await time_machine.advance(60)
    assert entry.data[CONF_AUTH_SCHEME] == AuthScheme.DIGEST


# ------------------------------------------------------------------------------- a rogue at another address


@pytest.mark.parametrize("login", [None, BasicLogin(PASSWORD)], ids=["no login", "Basic"])
@pytest.mark.parametrize("is_known", [True, False])
async def test_announced_rogue_gets_nothing_while_the_reader_is_off(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    rogue: Rogue,
    time_machine: TimeMachine,
    login: BasicLogin | None,
    *,
    is_known: bool,
) -> None:
    rogue.login = login
    entry = await set_up(hass, live, **({CONF_AUTH_SCHEME: "digest"} if is_known else {}))
    host = live.host
    await live.stop()
    await time_machine.advance(30)
    await announce(hass, rogue)
    await time_machine.advance(600)
    assert rogue.credentials, "it was asked"
    assert not rogue.received_the_password
    assert rogue.stream_count == 0
    assert entry.data[CONF_HOST] == host
    assert steps_in_progress(hass) == []
    await live.start(live.port, live=True)
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.data.is_streaming


@pytest.mark.parametrize("login", [None, BasicLogin(PASSWORD)], ids=["no login", "Basic"])
@pytest.mark.parametrize("is_known", [True, False])
async def test_announced_rogue_gets_nothing_when_setup_fails(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, login: BasicLogin | None, *, is_known: bool
) -> None:
    rogue.login = login
    entry = entry_for(live, **({CONF_AUTH_SCHEME: "digest"} if is_known else {}))
    entry.add_to_hass(hass)
    await live.stop()
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    flow = await announce(hass, rogue)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "not_supported")
    assert rogue.credentials
    assert not rogue.received_the_password
    assert entry.data[CONF_HOST] == live.host


async def test_basic_password_is_not_sent_to_an_announced_address(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> None:
    live.login = BasicLogin(PASSWORD)
    entry = await set_up(hass, live)
    assert entry.data[CONF_AUTH_SCHEME] == AuthScheme.BASIC
    host = live.host
    await live.stop()
    await time_machine.advance(30)
    await announce(hass, rogue)
    await time_machine.advance(600)
    assert rogue.credentials
    assert not rogue.received_the_password
    assert entry.data[CONF_HOST] == host
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "unencrypted"
    await live.start(live.port, live=True)
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.data.is_streaming
    assert steps_in_progress(hass) == [], "the question is obsolete"


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_basic_password_is_sent_to_a_new_address_after_consent(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine, *, is_loaded: bool
) -> None:
    live.login = BasicLogin(PASSWORD)
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
    assert result["step_id"] == "unencrypted"
    assert (result["description_placeholders"] or {})["host"] == live.host
    result = await submit(hass, result)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    await hass.async_block_till_done()
    await wait_until(lambda: live.streams)
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (live.host, AuthScheme.BASIC)


async def test_reader_of_old_firmware_is_followed_once_it_uses_digest(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.login = BasicLogin(PASSWORD)
    entry = await set_up(hass, live)
    await live.stop()
    await time_machine.advance(30)
    live.login = DigestLogin(PASSWORD)
    await live.start(live=True)
    await announce(hass, live)
    await time_machine.advance(120)
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (live.host, AuthScheme.DIGEST)
    assert entry.runtime_data.coordinator.data.is_streaming


# ------------------------------------------------------------------------------ a rogue at the same address


@pytest.fixture
async def entry_with_a_rogue(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> MockConfigEntry:
    """Return the entry of a reader in whose place a rogue answers."""
    entry = await set_up(hass, live)
    await live.stop()
    await rogue.stop()
    await rogue.start(live.port)
    await time_machine.advance(120)
    return entry


@pytest.mark.smoke
async def test_rogue_at_the_address_gets_password_after_consent_only(
    hass: HomeAssistant, entry_with_a_rogue: MockConfigEntry, rogue: Rogue
) -> None:
    entry = entry_with_a_rogue
    assert entry.runtime_data.coordinator.connection_state is ConnectionState.AUTH_FAILED
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "reauth_confirm"
    result = await submit(hass, flow, password=PASSWORD)
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "unencrypted")
    assert result["description_placeholders"] == {
        "name": r"Meter \(whatwatt Go\)",
        "host": entry.data[CONF_HOST],
    }
    assert not rogue.received_the_password
    result = await submit(hass, result)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    assert rogue.received_the_password
    assert entry.data[CONF_AUTH_SCHEME] == AuthScheme.BASIC
    await hass.async_block_till_done()
    await wait_until(lambda: rogue.streams)


async def test_reconfigure_sends_unencrypted_password_after_consent(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue
) -> None:
    entry = await set_up(hass, live)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=rogue.host)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "unencrypted")
    assert not rogue.received_the_password
    assert entry.data[CONF_HOST] == live.host
    await rogue.stop()
    flow = await submit(hass, flow)
    assert (flow["step_id"], flow["errors"]) == ("unencrypted", {"base": "cannot_connect"})
    await rogue.start(rogue.port)
    flow = await submit(hass, flow)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (rogue.host, AuthScheme.BASIC)


@pytest.mark.smoke
async def test_new_reader_with_basic_gets_password_after_consent(hass: HomeAssistant, rogue: Rogue) -> None:
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={"host": rogue.host}
    )
    assert flow["step_id"] == "password"
    flow = await submit(hass, flow, password=PASSWORD)
    assert flow["step_id"] == "unencrypted"
    assert not rogue.received_the_password
    rogue.login = DigestLogin(PASSWORD)
    flow = await submit(hass, flow)
    assert flow["type"] is FlowResultType.CREATE_ENTRY
    assert flow["data"][CONF_AUTH_SCHEME] == AuthScheme.DIGEST


async def test_missing_challenge_is_asked_about_in_unencrypted_step(
    hass: HomeAssistant, rogue: Rogue
) -> None:
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={"host": rogue.host}
    )
    flow = await submit(hass, flow, password=PASSWORD)
    rogue.login = None
    flow = await submit(hass, flow)
    assert flow["step_id"] == "unprotected"
    flow = await submit(hass, flow)
    assert flow["type"] is FlowResultType.CREATE_ENTRY
    assert (flow["data"][CONF_AUTH_SCHEME], CONF_PASSWORD in flow["data"]) == (AuthScheme.NONE, False)


async def test_rogue_added_by_hand_does_not_replace_the_reader(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue
) -> None:
    entry = await set_up(hass, live)
    rogue.login = None
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={"host": rogue.host}
    )
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert entry.data[CONF_HOST] == live.host


# ------------------------------------------------------------------------------- a password that is removed


@pytest.mark.smoke
async def test_password_removed_from_reader_is_removed_after_consent(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    live.login = None
    live.end_streams()
    await time_machine.advance(60)
    assert entry.runtime_data.coordinator.connection_state is ConnectionState.AUTH_FAILED
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    # Nothing was typed: its owner knows that there is none.
    result = await submit(hass, flow)
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "unprotected")
    live.login = DigestLogin("another")
    result = await submit(hass, result)
    assert (result["step_id"], result["errors"]) == ("unprotected", {"base": "invalid_auth"})
    live.login = None
    result = await submit(hass, result)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    assert CONF_PASSWORD not in entry.data
    assert entry.data[CONF_AUTH_SCHEME] == AuthScheme.NONE
    await hass.async_block_till_done()
    await wait_until(lambda: live.streams)


async def test_reauth_rejects_another_reader_without_a_password(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue
) -> None:
    entry = entry_for(live, password=PASSWORD, **{CONF_AUTH_SCHEME: "digest"})
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_HOST: rogue.host})
    rogue.login, rogue.device_id = None, "ECC9FF000000"
    result = await submit(hass, await entry.start_reauth_flow(hass), password=PASSWORD)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "wrong_device")
    assert (entry.data[CONF_PASSWORD], entry.data[CONF_AUTH_SCHEME]) == (PASSWORD, AuthScheme.DIGEST)


async def test_reader_with_basic_gets_new_password_without_consent(
    hass: HomeAssistant, live: WhatwattSimulator
) -> None:
    live.login = BasicLogin("new")
    entry = entry_for(live, password="old", **{CONF_AUTH_SCHEME: "basic"})
    entry.add_to_hass(hass)
    result = await submit(hass, await entry.start_reauth_flow(hass), password="new")
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    assert (entry.data[CONF_PASSWORD], entry.data[CONF_AUTH_SCHEME]) == ("new", AuthScheme.BASIC)
    await hass.async_block_till_done()
    await wait_until(lambda: live.streams)


async def test_reauth_starts_when_the_reader_gets_its_first_password(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.login = None
    entry = await set_up(hass, live)
    live.login = DigestLogin(PASSWORD)
    live.end_streams()
    await time_machine.advance(60)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await submit(hass, flow, password=PASSWORD)
    assert result["reason"] == "reauth_successful"
    assert (entry.data[CONF_PASSWORD], entry.data[CONF_AUTH_SCHEME]) == (PASSWORD, AuthScheme.DIGEST)
    await hass.async_block_till_done()
    await wait_until(lambda: live.streams)


# -------------------------------------------------------------------------------- who answers, of each kind


def make(house: House, kind: str, device_id: str) -> WhatwattSimulator | CurrentlyOneSimulator:
    if kind == "CurrentlyOne":
        return CurrentlyOneSimulator(house, device_id=device_id.lower(), name="Casa Mia")
    password = f"of {device_id}" if kind.startswith("protected") else None
    return WhatwattSimulator(house, device_id=device_id, password=password, name="Cellar")


def issue_of(hass: HomeAssistant) -> tuple[str | None, dict[str, str]]:
    (issue,) = (each for (domain, _), each in ir.async_get(hass).issues.items() if domain == DOMAIN)
    return issue.translation_key, dict(issue.translation_placeholders or {})


@pytest.mark.parametrize("mine", ["whatwatt", "protected whatwatt", "CurrentlyOne"])
@pytest.mark.parametrize("theirs", ["whatwatt", "protected whatwatt", "CurrentlyOne"])
@pytest.mark.parametrize("is_running", [True, False])
async def test_other_reader_at_the_address_is_recognized(  # noqa: PLR0917 (each is a part of the world)
    hass: HomeAssistant,
    house: House,
    start: Start,
    time_machine: TimeMachine,
    mine: str,
    theirs: str,
    *,
    is_running: bool,
) -> None:
    reader = make(house, mine, "ECC9FF5C7F14")
    await start(reader)
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: reader.streams)
    if not is_running:
        await hass.config_entries.async_unload(entry.entry_id)
    await reader.stop()
    other = make(house, theirs, "ECC9FF8A2B30")
    await other.start(reader.port)
    if is_running:
        await time_machine.advance(120)
    else:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    product = "CurrentlyOne" if mine == "CurrentlyOne" else "whatwatt Go"
    name = {"name": "Meter", "reader": rf"Meter \({product}\)", "host": reader.host}
    if theirs == "protected whatwatt" and mine != "CurrentlyOne":
        # Nothing but its password tells it from the right one.
        assert steps_in_progress(hass) == ["reauth_confirm"]
    elif theirs == "protected whatwatt":
        assert issue_of(hass) == ("protected_device", {**name, "found": ""})
        assert steps_in_progress(hass) == []
    else:
        found = r"Casa Mia \(CurrentlyOne\)" if theirs == "CurrentlyOne" else r"Cellar \(whatwatt Go\)"
        assert issue_of(hass) == ("wrong_device", {**name, "found": found})
        assert steps_in_progress(hass) == []
    await hass.config_entries.async_remove(entry.entry_id)
    await other.stop()


@pytest.mark.parametrize("mine", ["whatwatt", "protected whatwatt", "CurrentlyOne"])
@pytest.mark.parametrize("theirs", ["whatwatt", "protected whatwatt", "CurrentlyOne"])
async def test_reconfigure_rejects_the_address_of_another_reader(
    hass: HomeAssistant, house: House, start: Start, mine: str, theirs: str
) -> None:
    reader, other = make(house, mine, "ECC9FF5C7F14"), make(house, theirs, "ECC9FF8A2B30")
    await start(other)
    login = {"CurrentlyOne": "none", "whatwatt": "none", "protected whatwatt": "digest"}[mine]
    entry = entry_for(reader, **{CONF_AUTH_SCHEME: login})
    entry.add_to_hass(hass)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=other.host)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "reconfigure")
    placeholders = flow["description_placeholders"]
    assert placeholders is not None
    if theirs == "protected whatwatt":
        error = "protected_device" if mine == "CurrentlyOne" else "invalid_auth"
        assert flow["errors"] == {"base": error}
    else:
        assert flow["errors"] == {"base": "wrong_device"}
        named = "Casa Mia (CurrentlyOne)" if theirs == "CurrentlyOne" else "Cellar (whatwatt Go)"
        assert placeholders["found"] == named


async def test_currentlyone_is_never_asked_for_a_password(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    flow = await entry.start_reconfigure_flow(hass)
    schema = flow["data_schema"]
    assert schema is not None
    assert list(schema.schema) == [CONF_HOST]


async def test_announced_currentlyone_is_not_asked_for_a_password(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, rogue: Rogue
) -> None:
    info = announcement(currentlyone)
    info.port = rogue.port
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_ZEROCONF}, data=info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "not_supported")


async def test_announced_reader_without_an_id_is_named_by_its_model(
    hass: HomeAssistant, live: WhatwattSimulator
) -> None:
    info = announcement(live)
    info.properties.clear()
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_ZEROCONF}, data=info)
    assert flow["step_id"] == "password"
    assert (flow["description_placeholders"] or {})["name"] == "whatwatt Go"
    (progress,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert progress["context"]["title_placeholders"] == {"name": "whatwatt Go"}
    flow = await submit(hass, flow, password=PASSWORD)
    assert (flow["type"], flow["title"]) == (FlowResultType.CREATE_ENTRY, "whatwatt Go 5C7F14")


# ----------------------------------------------------------------- something else at the address it has left


@pytest.fixture
async def squatter(house: House, start: Start) -> WhatwattSimulator:
    """Return something else that wants a password."""
    reader = WhatwattSimulator(house, device_id="ECC9FF8A2B30", password="of its own")
    await start(reader)
    return reader


async def move(reader: WhatwattSimulator, squatter: WhatwattSimulator) -> None:
    """Give a reader another address, and its old one to something else."""
    port = reader.port
    await reader.stop()
    await squatter.stop()
    await squatter.start(port)
    await reader.start(live=True)


async def test_reader_is_followed_when_old_address_needs_a_password(
    hass: HomeAssistant, live: WhatwattSimulator, squatter: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    await move(live, squatter)
    await announce(hass, live)
    await time_machine.advance(120)
    assert entry.data[CONF_HOST] == live.host
    assert entry.runtime_data.coordinator.data.is_streaming
    assert steps_in_progress(hass) == []


async def test_reauth_starts_when_all_addresses_reject_the_password(
    hass: HomeAssistant, live: WhatwattSimulator, squatter: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    await announce(hass, squatter_as(live, squatter))
    live.login = DigestLogin("another")
    live.end_streams()
    await time_machine.advance(120)
    assert steps_in_progress(hass) == ["reauth_confirm"]


def squatter_as(reader: WhatwattSimulator, squatter: WhatwattSimulator) -> WhatwattSimulator:
    squatter.device_id = reader.device_id
    return squatter


@pytest.mark.parametrize("is_running", [True, False])
async def test_reader_announced_during_reauth_is_followed(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    squatter: WhatwattSimulator,
    time_machine: TimeMachine,
    *,
    is_running: bool,
) -> None:
    entry = await set_up(hass, live)
    if not is_running:
        await hass.config_entries.async_unload(entry.entry_id)
    await move(live, squatter)
    if is_running:
        await time_machine.advance(120)
        assert entry.runtime_data.coordinator.connection_state is ConnectionState.AUTH_FAILED
    else:
        await hass.config_entries.async_setup(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_ERROR
    assert steps_in_progress(hass) == ["reauth_confirm"]
    flow = await announce(hass, live)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    await hass.async_block_till_done()
    await wait_until(lambda: live.streams)
    assert entry.data[CONF_HOST] == live.host
    assert steps_in_progress(hass) == []


# ------------------------------------------------------------------------------------- added a second time


@pytest.mark.parametrize("by_name", [False, True])
async def test_user_flow_aborts_for_a_protected_reader_that_streams(
    hass: HomeAssistant, live: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch, *, by_name: bool
) -> None:
    await set_up(hass, live)
    here = {"hostname": "", "host": "127.0.0.1", "port": live.port, "family": AF_INET, "proto": 0, "flags": 0}

    async def resolve(*_args: object, **_kwargs: object) -> list[dict[str, Any]]:
        return [here]

    monkeypatch.setattr(TCPConnector, "_resolve_host", resolve)
    host = f"whatwatt-5C7F14.local:{live.port}" if by_name else live.host
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={"host": host}
    )
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert flow["description_placeholders"] == {"name": "Meter"}


async def test_reader_at_the_address_of_a_missing_one_can_be_added(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    live.device_id = "ECC9FF8A2B30"
    live.end_streams()
    await time_machine.advance(60)
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={"host": live.host}
    )
    assert flow["step_id"] == "password"
    flow = await submit(hass, flow, password=PASSWORD)
    assert flow["type"] is FlowResultType.CREATE_ENTRY
