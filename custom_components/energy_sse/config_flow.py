"""Adding a reader: found on the network or entered by hand, with a password where it wants one."""

from collections.abc import Iterable, Mapping
import logging
import re
from typing import Any, Final, override

from homeassistant.config_entries import (
    DISCOVERY_SOURCES,
    SOURCE_IGNORE,
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlow,
)
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import callback
from homeassistant.data_entry_flow import AbortFlow
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.selector import (
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import voluptuous as vol
from yarl import URL

from .const import (
    CONF_AUTH_SCHEME,
    CONF_ENTERED_HOST,
    CONF_KIND,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)
from .coordinator import EnergySseConfigEntry, entered_host_of, moved_to
from .markdown import escape
from .options_flow import EnergySseOptionsFlow
from .reader import (
    READERS,
    AuthScheme,
    ConnectionState,
    Identity,
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderKind,
    ReaderProtocolError,
    default_name,
    full_name,
    identify,
    log_unexpected_error,
    name_of,
    parse_host,
)

_LOGGER = logging.getLogger(__name__)

_HOST_FIELD: Final = TextSelector()
_PASSWORD_FIELD: Final = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)

_HOST_SCHEMA: Final = vol.Schema({vol.Required(CONF_HOST): _HOST_FIELD})
_PASSWORD_SCHEMA: Final = vol.Schema({vol.Required(CONF_PASSWORD): _PASSWORD_FIELD})
_RECONFIGURE_SCHEMA: Final = vol.Schema(
    {vol.Required(CONF_HOST): _HOST_FIELD, vol.Optional(CONF_PASSWORD): _PASSWORD_FIELD}
)
# Its owner may have removed the password.
_REAUTH_SCHEMA: Final = vol.Schema({vol.Optional(CONF_PASSWORD): _PASSWORD_FIELD})

_HTTP_PORT: Final = 80
_TELNET_PORT: Final = 23
_MAX_PORT: Final = 65_535

_CURRENTLYONE_SERVICE: Final = "_currently._tcp.local."
_CURRENTLYONE_PREFIX: Final = "currentlyone_"

# The instance name of a CurrentlyOne. After a conflict of names, mDNS adds a suffix such as "-2", " (2)" or "
# #2".
_CURRENTLYONE_NAME: Final = re.compile(r"currentlyone_([0-9a-f]{12})(?![0-9a-f])", re.IGNORECASE)

# The id of a whatwatt: its Wi-Fi MAC address.
_WHATWATT_ID: Final = re.compile(r"[0-9A-F]{12}")

_MAC_ADDRESS: Final = re.compile(r"[0-9a-f]{12}")

# A reader announces two addresses, and the last addresses of two interfaces. More are not tried, because each
# can take ten seconds.
_MAX_ADDRESSES: Final = 8

# Discoveries at a time. More are aborted at once, so that made-up announcements cannot open hundreds of
# connections and dialogs.
_MAX_DISCOVERIES: Final = 16

# Seconds, for new entries. One without the option, made before there was this default, writes every reading.
_DEFAULT_WRITE_INTERVAL: Final = 5

# What went wrong → the key of its text.
_ERRORS: Final[Mapping[type[ReaderError], str]] = {
    ReaderAuthenticationError: "invalid_auth",
    ReaderConnectionError: "cannot_connect",
    ReaderProtocolError: "not_supported",
}

# Keys of errors that only the user can decide on; each is also the name of the step that asks.
_WEAKER_LOGINS: Final = frozenset({"unencrypted", "unprotected"})

# Errors of several addresses: the first one of these is shown.
_PRECEDENCE: Final = (
    "invalid_auth",
    "unencrypted",
    "unprotected",
    "not_supported",
    "unknown",
    "cannot_connect",
)

# The whatwatt's Ethernet address follows its Wi-Fi address, which is its id, at this distance.
_ETHERNET_OFFSET: Final = 3


class EnergySseConfigFlow(ConfigFlow, domain=DOMAIN):
    """Asks the device who it is before anything is created."""

    VERSION = 1

    _host: str
    _name = READERS[ReaderKind.WHATWATT].model
    """What dialogs call the device. One that asks for a password before it says its name is a whatwatt."""

    _kinds: Iterable[ReaderKind] = READERS
    """Kinds of readers that the device can be. An announcement shows the kind."""

    _password: str | None = None
    _identity: Identity

    # ------------------------------------------------------------------------------------- by hand

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address."""
        errors: dict[str, str] = {}
        if user_input is not None:
            try:
                self._host = parse_host(user_input[CONF_HOST])
            except ValueError:
                errors[CONF_HOST] = "invalid_host"
            else:
                error = await self._async_identify()
                if error == "invalid_auth":
                    self._abort_if_protected_one_is_configured()
                    return await self.async_step_password()
                if error is None:
                    return await self._async_proved()
                errors["base"] = error
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(_HOST_SCHEMA, user_input),
            errors=errors,
        )

    async def async_step_password(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the password that the device wants."""
        return await self._async_ask_password("password", _PASSWORD_SCHEMA, user_input, AuthScheme.DIGEST)

    # ---------------------------------------------------------------------------------- discovered

    @override
    async def async_step_zeroconf(self, discovery_info: ZeroconfServiceInfo) -> ConfigFlowResult:
        """Handle an announcement by mDNS."""
        hosts = hosts_of(discovery_info)
        instance = discovery_info.name.removesuffix(f".{discovery_info.type}")
        is_currentlyone = instance.lower().startswith(_CURRENTLYONE_PREFIX)
        if is_currentlyone or discovery_info.type == _CURRENTLYONE_SERVICE:
            match = _CURRENTLYONE_NAME.match(instance)
            device_id = match[1].lower() if match else ""
            return await self._async_step_discovered(ReaderKind.CURRENTLYONE, device_id, hosts)
        device_id = str(discovery_info.properties.get("id")).upper()
        if not _WHATWATT_ID.fullmatch(device_id):
            device_id = ""
        return await self._async_step_discovered(ReaderKind.WHATWATT, device_id, hosts)

    @override
    async def async_step_dhcp(self, discovery_info: DhcpServiceInfo) -> ConfigFlowResult:
        """Handle an address given out, to a new device with a telling name or to a known one."""
        hosts = [_join(discovery_info.ip, _HTTP_PORT)]
        mac_address = discovery_info.macaddress
        hostname = discovery_info.hostname.lower()
        if not _MAC_ADDRESS.fullmatch(mac_address):
            # Device trackers pass on the addresses that routers list.
            return self.async_abort(reason="not_supported")
        whatwatt_ids = [f"{int(mac_address, 16) - offset:012X}" for offset in (0, _ETHERNET_OFFSET)]
        currentlyone_id = bytes.fromhex(mac_address)[::-1].hex()
        if currentlyone_id in self._async_current_ids() or hostname.startswith(_CURRENTLYONE_PREFIX):
            return await self._async_step_discovered(ReaderKind.CURRENTLYONE, currentlyone_id, hosts)
        known = (each for each in whatwatt_ids if each in self._async_current_ids())
        named = (each for each in whatwatt_ids if hostname.endswith(each[-6:].lower()))
        device_id = next(known, next(named, whatwatt_ids[0]))
        return await self._async_step_discovered(ReaderKind.WHATWATT, device_id, hosts)

    async def _async_step_discovered(
        self, kind: ReaderKind, device_id: str, hosts: list[str]
    ) -> ConfigFlowResult:
        """Identify the device at the announced addresses.

        `device_id` is empty if the announcement does not contain it. Then the device is asked for it.
        """
        entry: EnergySseConfigEntry | None = await self.async_set_unique_id(device_id or None)
        if entry is not None:
            return await self._async_step_known(entry, hosts)
        others = self._async_in_progress(include_uninitialized=True)
        if sum(flow["context"]["source"] in DISCOVERY_SOURCES for flow in others) >= _MAX_DISCOVERIES:
            return self.async_abort(reason="already_in_progress")
        self._kinds = (kind,)
        error = await self._async_identify_at(hosts, device_id)
        if error == "invalid_auth":
            self._call_it(full_name(kind, default_name(kind, device_id)))
            return await self.async_step_password()
        if error is not None:
            return self.async_abort(reason=error)
        entry = await self.async_set_unique_id(self._identity.info.id)
        if entry is not None:
            return await self._async_step_known(entry, hosts)
        self._call_it(self._found)
        return await self.async_step_discovery_confirm()

    async def _async_step_known(self, entry: EnergySseConfigEntry, hosts: list[str]) -> ConfigFlowResult:
        """Follow a device that is set up to an announced address, after it has identified itself there."""
        is_loaded = entry.state is ConfigEntryState.LOADED
        if is_loaded and entry.runtime_data.connection_state is not ConnectionState.AUTH_FAILED:
            # A running stream goes on. Without one, the connection tries these addresses.
            entry.runtime_data.async_handle_announcement(*hosts)
            self._abort_if_configured(entry)
        others = [host for host in hosts if host != entry.data.get(CONF_HOST)]
        if entry.source == SOURCE_IGNORE or not others:
            self._abort_if_configured(entry)
        password = entry.data.get(CONF_PASSWORD)
        least = AuthScheme.DIGEST if password else AuthScheme.NONE
        error = await self._async_identify_at(others, str(entry.unique_id), password, least)
        if error == "unencrypted" and entry.data.get(CONF_AUTH_SCHEME) == AuthScheme.BASIC:
            # Its owner agreed to send the password unencrypted to another address.
            entry.async_start_reauth(self.hass, data={CONF_HOST: self._host})
        if error in _WEAKER_LOGINS:
            error = "not_supported"
        if error is None:
            moved = moved_to(entry, self._host)
            if entry.state is ConfigEntryState.SETUP_ERROR:
                # What refused the login at the known address was something else.
                self.hass.config_entries.async_update_entry(entry, data={**entry.data, **moved})
                self.hass.config_entries.async_schedule_reload(entry.entry_id)
            self._abort_if_configured(entry, updates=moved)
        return self.async_abort(reason=str(error))

    async def _async_identify_at(
        self,
        hosts: Iterable[str],
        device_id: str,
        password: str | None = None,
        least: AuthScheme | None = None,
    ) -> str | None:
        """Ask at one address after the other until the device answers. Returns the key of an error, or None.

        `device_id` is empty if it is not known. An error that the user can act on takes precedence.
        """
        errors: dict[str, str] = {}
        for self._host in hosts:
            error = await self._async_identify(password, least)
            if error is None and device_id and self._identity.info.id != device_id:
                error = "not_supported"
            if error is None:
                return None
            errors.setdefault(error, self._host)
        error = next((each for each in _PRECEDENCE if each in errors), "cannot_connect")
        self._host = errors.get(error, "")
        return error

    def _call_it(self, name: str) -> None:
        """Call the device by a name, in its card and in dialogs."""
        self._name = name
        self.context["title_placeholders"] = {"name": name}

    async def async_step_discovery_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether to add the device that was found."""
        errors: dict[str, str] = {}
        if user_input is not None:
            error = await self._async_identify()
            if error == "invalid_auth":
                return await self.async_step_password()
            if error is None:
                return await self._async_proved()
            errors["base"] = error
        return self._show_form("discovery_confirm", errors)

    # ------------------------------------------------------------------------- a password that changed

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Handle a device that refuses the login."""
        entry = self._get_reauth_entry()
        self._host = entry_data[CONF_HOST]
        self._name = _name_of(entry)
        if self._host != entry.data[CONF_HOST]:
            # An announced address that asks for HTTP Basic.
            self._password = entry.data[CONF_PASSWORD]
            return await self.async_step_unencrypted()
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the new password."""
        least = _least_login(self._get_reauth_entry(), (user_input or {}).get(CONF_PASSWORD))
        return await self._async_ask_password("reauth_confirm", _REAUTH_SCHEMA, user_input, least)

    # -------------------------------------------------------------------- another address or password

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address anew, and for the password of a device that may have one."""
        entry = self._get_reconfigure_entry()
        self._name = _name_of(entry)
        errors: dict[str, str] = {}
        if user_input is not None:
            self._password = user_input.get(CONF_PASSWORD) or entry.data.get(CONF_PASSWORD)
            try:
                self._host = parse_host(user_input[CONF_HOST])
            except ValueError:
                errors[CONF_HOST] = "invalid_host"
            else:
                error = await self._async_identify_again(entry)
                if error is None:
                    return await self._async_proved()
                if error in _WEAKER_LOGINS:
                    return await self._async_step_weaker(error)
                errors["base"] = error
        can_have_password = READERS[entry.data[CONF_KIND]].can_have_password
        schema = _RECONFIGURE_SCHEMA if can_have_password else _HOST_SCHEMA
        suggested = user_input or {CONF_HOST: entered_host_of(entry) or entry.data[CONF_HOST]}
        return self.async_show_form(
            step_id="reconfigure",
            data_schema=self.add_suggested_values_to_schema(schema, {CONF_HOST: suggested[CONF_HOST]}),
            errors=errors,
            # An error is shown as plain text.
            description_placeholders={
                "name": escape(self._name),
                "reader": self._name,
                "found": self._found if errors.get("base") == "wrong_device" else "",
            },
        )

    async def _async_identify_again(self, entry: ConfigEntry) -> str | None:
        """Ask whether the device of an entry answers. Returns the key of an error, or None."""
        error = await self._async_identify(self._password, _least_login(entry, self._password))
        if error in (None, "unprotected") and self._identity.info.id != entry.unique_id:
            return "wrong_device"
        if error == "invalid_auth" and not READERS[entry.data[CONF_KIND]].can_have_password:
            return "protected_device"
        return error

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: EnergySseConfigEntry) -> OptionsFlow:
        """Return the dialog of the options."""
        return EnergySseOptionsFlow()

    # -------------------------------------------------------------------------------- weaker logins

    async def _async_step_weaker(self, error: str) -> ConfigFlowResult:
        """Ask whether the login may be weaker than the device's has been, or than it should be."""
        if error == "unencrypted":
            return await self.async_step_unencrypted()
        if self.source == SOURCE_REAUTH and self._identity.info.id != self._get_reauth_entry().unique_id:
            return self.async_abort(
                reason="wrong_device", description_placeholders={"found": escape(self._found)}
            )
        return await self.async_step_unprotected()

    async def async_step_unencrypted(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether the password may go to the device unencrypted."""
        errors: dict[str, str] = {}
        if user_input is not None:
            error = await self._async_identify(self._password, AuthScheme.BASIC)
            if error is None:
                return await self._async_proved()
            if error in _WEAKER_LOGINS:
                return await self._async_step_weaker(error)
            errors["base"] = error
        return self._show_form("unencrypted", errors)

    async def async_step_unprotected(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether a device is believed that does not want the password."""
        errors: dict[str, str] = {}
        if user_input is not None:
            self._password = None
            error = await self._async_identify()
            if error is None:
                return await self._async_proved()
            errors["base"] = error
        return self._show_form("unprotected", errors)

    # ---------------------------------------------------------------------------------- what they share

    def _abort_if_configured(self, entry: ConfigEntry, updates: dict[str, Any] | None = None) -> None:
        """End where a device is set up already, and say as what."""
        self._abort_if_unique_id_configured(updates, description_placeholders={"name": escape(entry.title)})

    def _abort_if_protected_one_is_configured(self) -> None:
        """End where a device has its stream at this address: nobody need enter its password again."""
        entry: EnergySseConfigEntry
        for entry in self._async_current_entries():
            is_streaming = entry.state is ConfigEntryState.LOADED and entry.runtime_data.is_streaming
            name = f"whatwatt-{str(entry.unique_id)[-6:].lower()}.local"
            if is_streaming and (self._host == entry.data[CONF_HOST] or self._host.partition(":")[0] == name):
                raise AbortFlow("already_configured", {"name": escape(entry.title)})

    async def _async_ask_password(
        self, step_id: str, schema: vol.Schema, user_input: dict[str, Any] | None, least: AuthScheme
    ) -> ConfigFlowResult:
        """Ask for a password, and use it for no weaker login than `least`."""
        errors: dict[str, str] = {}
        if user_input is not None:
            self._password = user_input.get(CONF_PASSWORD) or None
            error = await self._async_identify(self._password, least)
            if error is None:
                return await self._async_proved()
            if error in _WEAKER_LOGINS:
                return await self._async_step_weaker(error)
            errors["base"] = error
        return self._show_form(step_id, errors, schema)

    def _show_form(
        self, step_id: str, errors: dict[str, str], schema: vol.Schema | None = None
    ) -> ConfigFlowResult:
        """Show a form that names the device."""
        return self.async_show_form(
            step_id=step_id,
            data_schema=schema,
            errors=errors,
            description_placeholders={"name": escape(self._name), "host": self._host},
        )

    async def _async_identify(
        self, password: str | None = None, least: AuthScheme | None = None
    ) -> str | None:
        """Ask the device who it is. Returns the key of an error, or None."""
        try:
            session = async_get_clientsession(self.hass)
            self._identity = await identify(session, self._host, password, least, kinds=self._kinds)
        except ReaderAuthDowngradeError as error:
            if error.scheme is AuthScheme.BASIC:
                return "unencrypted"
            # It says who it is to everybody.
            return await self._async_identify() or "unprotected"
        except ReaderError as error:
            return next(key for kind, key in _ERRORS.items() if isinstance(error, kind))
        except Exception as fault:  # noqa: BLE001 (it is said)
            log_unexpected_error(_LOGGER, "asking a device who it is", fault)
            return "unknown"
        return None

    async def _async_proved(self) -> ConfigFlowResult:
        """Create the entry of the device that has been identified, or change it."""
        info, login = self._identity
        proved: dict[str, str] = {CONF_HOST: self._host, CONF_AUTH_SCHEME: login}
        if self._password is not None:
            proved[CONF_PASSWORD] = self._password
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            await self.async_set_unique_id(info.id)
            self._abort_if_unique_id_mismatch(
                reason="wrong_device", description_placeholders={"found": escape(self._found)}
            )
            is_reauth = self.source == SOURCE_REAUTH
            changed = self._get_reauth_entry() if is_reauth else self._get_reconfigure_entry()
            # A password that is wanted no more is forgotten.
            kept = {key: value for key, value in changed.data.items() if key != CONF_PASSWORD}
            if not is_reauth or (login is AuthScheme.BASIC and CONF_ENTERED_HOST in kept):
                # The password may be sent unencrypted to this address, and to no earlier one.
                kept |= {CONF_ENTERED_HOST: self._host}
            return self.async_update_reload_and_abort(changed, data={**kept, **proved})
        # A flow of the same device, begun by its discovery, must not block its owner.
        entry = await self.async_set_unique_id(info.id, raise_on_progress=False)
        if entry is not None and self.source != SOURCE_USER:
            # The device has changed its id since it was found. It has to prove itself as in any announcement.
            return await self._async_step_known(entry, [self._host])
        if entry is not None:
            is_weaker = AuthScheme(proved[CONF_AUTH_SCHEME]).is_weaker_than(_least_login(entry))
            entered = {CONF_ENTERED_HOST: self._host}
            self._abort_if_configured(entry, updates=None if is_weaker else proved | entered)
        return self.async_create_entry(
            title=info.name or default_name(info.kind, info.id),
            data={CONF_KIND: info.kind, **proved},
            options={CONF_WRITE_INTERVAL: _DEFAULT_WRITE_INTERVAL},
        )

    @property
    def _found(self) -> str:
        """What the device is called that has been identified."""
        return name_of(self._identity.info)


def _name_of(entry: ConfigEntry) -> str:
    """Return what a reader is called that is set up."""
    return full_name(ReaderKind(entry.data[CONF_KIND]), entry.title)


def _least_login(entry: ConfigEntry, password: str | None = None) -> AuthScheme:
    """Return the weakest login that is right for a reader without asking the user.

    `password` is a new one. Unless the reader is known to want it unencrypted, a password needs Digest.
    """
    if entry.data.get(CONF_AUTH_SCHEME) == AuthScheme.BASIC:
        return AuthScheme.BASIC
    return AuthScheme.DIGEST if password or entry.data.get(CONF_PASSWORD) else AuthScheme.NONE


def hosts_of(discovery_info: ZeroconfServiceInfo) -> list[str]:
    """Return the addresses of the HTTP server of an announced device, the preferred one first.

    The web servers of the devices use IPv4, so IPv6 addresses come last. Addresses that cannot lead to a
    device are left out. A loopback address is that of a simulated reader, and used only if it is announced
    alone.
    """
    addresses = [
        address
        for address in dict.fromkeys([discovery_info.ip_address, *discovery_info.ip_addresses])
        if not (address.is_link_local or address.is_unspecified or address.is_multicast)
        and (not address.is_reserved or address.is_loopback)
    ]
    addresses.sort(key=lambda address: address.version)
    addresses = [address for address in addresses if not address.is_loopback] or addresses
    # `_currently._tcp` may announce the port of the device's telnet server.
    port = discovery_info.port or 0
    is_http = 0 < port <= _MAX_PORT and port != _TELNET_PORT
    return [_join(str(address), port if is_http else _HTTP_PORT) for address in addresses[:_MAX_ADDRESSES]]


def _join(address: str, port: int) -> str:
    """Return `host`, or `host:port` where the port is not HTTP's own."""
    return URL.build(scheme="http", host=address, port=port).host_port_subcomponent or address
