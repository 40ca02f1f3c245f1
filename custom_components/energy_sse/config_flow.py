"""Config flow: discovered and entered readers, their addresses and passwords."""

from collections.abc import Iterable, Mapping
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
    ConfigSubentryFlow,
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
    ENTRY_VERSION,
    LOGGER,
    SUBENTRY_POWER_TARIFF,
)
from .coordinator import get_entered_host, get_moved_data
from .data import EnergySseConfigEntry
from .issues import escape_markdown
from .options_flow import EnergySseOptionsFlow
from .reader import (
    READERS,
    Announcement,
    AuthScheme,
    ConnectionState,
    Identity,
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderProtocolError,
    Reason,
    get_full_name,
    identify,
    parse_host,
)
from .tariff_flow import PowerTariffFlow

_HOST_FIELD: Final = TextSelector()
_PASSWORD_FIELD: Final = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)

_HOST_SCHEMA: Final = vol.Schema({vol.Required(CONF_HOST): _HOST_FIELD})
_PASSWORD_SCHEMA: Final = vol.Schema({vol.Required(CONF_PASSWORD): _PASSWORD_FIELD})
_RECONFIGURE_SCHEMA: Final = vol.Schema(
    {vol.Required(CONF_HOST): _HOST_FIELD, vol.Optional(CONF_PASSWORD): _PASSWORD_FIELD}
)
# The owner can have removed the password.
_REAUTH_SCHEMA: Final = vol.Schema({vol.Optional(CONF_PASSWORD): _PASSWORD_FIELD})

_HTTP_PORT: Final = 80
_TELNET_PORT: Final = 23
_MAX_PORT: Final = 65_535

_MAC_ADDRESS: Final = re.compile(r"[0-9a-f]{12}")

# A reader with two interfaces announces two addresses. The mDNS cache can still contain earlier ones. More
# are not tried, because each can take ten seconds.
_MAX_ADDRESSES: Final = 8

# Discoveries at a time. More are aborted, so that forged announcements cannot open hundreds of connections
# and dialogs.
_MAX_DISCOVERIES: Final = 16

# Seconds, for new entries. Entries from before this default do not have the option, and write every reading.
_DEFAULT_WRITE_INTERVAL: Final = 5

# Error → key of its text.
_ERRORS: Final[Mapping[type[ReaderError], str]] = {
    ReaderAuthenticationError: "invalid_auth",
    ReaderConnectionError: "cannot_connect",
    ReaderProtocolError: "not_supported",
}

# Keys of errors that the user can accept. Each is also the name of the step that asks for it.
_DOWNGRADES: Final = frozenset({"unencrypted", "unprotected"})

# Errors of several addresses: the first one of these is shown.
_PRECEDENCE: Final = (
    "invalid_auth",
    "unencrypted",
    "unprotected",
    "not_supported",
    "unknown",
    "cannot_connect",
)


class EnergySseConfigFlow(ConfigFlow, domain=DOMAIN):
    """Config flow that identifies the device before it creates or changes an entry."""

    VERSION = ENTRY_VERSION

    _host: str
    _name = " / ".join(reader.model for reader in READERS.values() if reader.can_have_password)
    """Name of the device in dialogs. It is not known before the password is accepted."""

    _kinds: Iterable[str] = READERS
    """Kinds of readers to look for at an address: all kinds, or the announced one."""

    _password: str | None = None
    _identity: Identity

    # ---------------------------------------------------------------------------------- user

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address."""
        errors: dict[str, str] = {}
        if user_input is not None and not (errors := self._set_host(user_input)):
            error = await self._async_identify()
            if error is None:
                return await self._async_finish()
            if error == "invalid_auth":
                self._abort_if_streaming()
                return await self.async_step_password()
            errors = _as_errors(error)
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(_HOST_SCHEMA, user_input),
            errors=errors,
        )

    async def async_step_password(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the password."""
        if user_input is not None:
            self._password = user_input[CONF_PASSWORD] or None
        return await self._async_step_identify("password", user_input, _PASSWORD_SCHEMA, AuthScheme.DIGEST)

    # ----------------------------------------------------------------------------- discovery

    @override
    async def async_step_zeroconf(self, discovery_info: ZeroconfServiceInfo) -> ConfigFlowResult:
        """Handle an mDNS announcement."""
        announcement = Announcement(
            discovery_info.type,
            discovery_info.name.removesuffix(f".{discovery_info.type}"),
            discovery_info.properties,
        )
        for kind, reader in READERS.items():
            device_id = reader.id_in_announcement(announcement)
            if device_id is not None:
                return await self._async_handle_discovery(kind, device_id, get_hosts(discovery_info))
        return self.async_abort(reason="not_supported")

    @override
    async def async_step_dhcp(self, discovery_info: DhcpServiceInfo) -> ConfigFlowResult:
        """Handle a DHCP lease of a known device, or of one with a known host name."""
        hosts = [_format_host(discovery_info.ip, _HTTP_PORT)]
        mac_address, hostname = discovery_info.macaddress, discovery_info.hostname.lower()
        if not _MAC_ADDRESS.fullmatch(mac_address):
            # A device tracker reports the MAC address that the router lists, which can be invalid.
            return self.async_abort(reason="not_supported")
        ids = {kind: reader.ids_in_lease(mac_address, hostname) for kind, reader in READERS.items()}
        known = self._async_current_ids()
        found = [(kind, each) for kind, kind_ids in ids.items() for each in kind_ids if each in known]
        found += [
            (kind, next(iter(ids[kind]), ""))
            for kind, reader in READERS.items()
            if hostname.startswith(reader.dhcp_hostnames)
        ]
        if not found:
            return self.async_abort(reason="not_supported")
        return await self._async_handle_discovery(*found[0], hosts)

    async def _async_handle_discovery(self, kind: str, device_id: str, hosts: list[str]) -> ConfigFlowResult:
        """Identify the device at the announced addresses.

        `device_id` is empty if the announcement does not contain it. Then the device is asked for it.
        """
        entry: EnergySseConfigEntry | None = await self.async_set_unique_id(device_id or None)
        if entry is not None:
            return await self._async_handle_known(entry, hosts)
        others = self._async_in_progress(include_uninitialized=True)
        if sum(flow["context"]["source"] in DISCOVERY_SOURCES for flow in others) >= _MAX_DISCOVERIES:
            return self.async_abort(reason="already_in_progress")
        self._kinds = (kind,)
        error = await self._async_identify_at(hosts, device_id)
        if error == "invalid_auth":
            reader = READERS[kind]
            self._set_title(reader.full_name(reader.default_name(device_id)))
            return await self.async_step_password()
        if error is not None:
            return self.async_abort(reason=error)
        entry = await self.async_set_unique_id(self._identity.info.id)
        if entry is not None:
            return await self._async_handle_known(entry, hosts)
        self._set_title(self._found_name)
        return await self.async_step_discovery_confirm()

    async def _async_handle_known(self, entry: EnergySseConfigEntry, hosts: list[str]) -> ConfigFlowResult:
        """Update the address of a configured device, after it has identified itself there.

        The connection of a loaded entry gets the addresses as candidates.
        """
        is_loaded = entry.state is ConfigEntryState.LOADED
        if is_loaded and entry.runtime_data.coordinator.connection_state is not ConnectionState.AUTH_FAILED:
            # A running stream is kept. Without a stream, the connection tries the candidates.
            entry.runtime_data.coordinator.async_handle_announcement(*hosts)
            self._abort_if_configured(entry)
        others = [host for host in hosts if host != entry.data.get(CONF_HOST)]
        if entry.source == SOURCE_IGNORE or not others:
            self._abort_if_configured(entry)
        password = entry.data.get(CONF_PASSWORD)
        weakest_scheme = AuthScheme.DIGEST if password else AuthScheme.NONE
        error = await self._async_identify_at(others, str(entry.unique_id), password, weakest_scheme)
        if error == "unencrypted" and entry.data.get(CONF_AUTH_SCHEME) == AuthScheme.BASIC:
            # The owner agreed to send the password unencrypted to another address.
            entry.async_start_reauth(self.hass, data={CONF_HOST: self._host})
        if error in _DOWNGRADES:
            error = "not_supported"
        if error is None:
            moved_data = get_moved_data(entry, self._host)
            if entry.state is ConfigEntryState.SETUP_ERROR:
                # Another device has rejected the password at the stored address. Home Assistant does not
                # repeat a setup that has failed with this error.
                self.hass.config_entries.async_update_entry(entry, data={**entry.data, **moved_data})
                self.hass.config_entries.async_schedule_reload(entry.entry_id)
            self._abort_if_configured(entry, updates=moved_data)
        return self.async_abort(reason=str(error))

    async def async_step_discovery_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether to add the device."""
        result = await self._async_step_identify("discovery_confirm", user_input)
        if result.get("errors") == {"base": "invalid_auth"}:
            return await self.async_step_password()
        return result

    # ---------------------------------------------------------------------- reauthentication

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Handle a device that has rejected the password."""
        entry = self._get_reauth_entry()
        self._host = entry_data[CONF_HOST]
        self._name = _entry_name(entry)
        if self._host != entry.data[CONF_HOST]:
            # An announced address that asks for HTTP Basic.
            self._password = entry.data[CONF_PASSWORD]
            return await self.async_step_unencrypted()
        if hasattr(entry, "runtime_data"):
            error = entry.runtime_data.coordinator.availability.last_error
            if isinstance(error, ReaderAuthDowngradeError) and error.scheme is AuthScheme.NONE:
                # The owner has removed the password.
                return await self.async_step_unprotected()
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the new password."""
        if user_input is not None:
            self._password = user_input.get(CONF_PASSWORD) or None
        weakest_scheme = _weakest_scheme(self._get_reauth_entry(), self._password)
        return await self._async_step_identify("reauth_confirm", user_input, _REAUTH_SCHEMA, weakest_scheme)

    # ----------------------------------------------------------------------- reconfiguration

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for a new address, and for a new password if the reader can have one."""
        entry = self._get_reconfigure_entry()
        self._name = _entry_name(entry)
        errors: dict[str, str] = {}
        if user_input is not None and not (errors := self._set_host(user_input)):
            self._password = user_input.get(CONF_PASSWORD) or entry.data.get(CONF_PASSWORD)
            error = await self._async_identify_again(entry)
            if error is None:
                return await self._async_finish()
            if error in _DOWNGRADES:
                return await self._async_confirm_downgrade(error)
            errors = _as_errors(error)
        can_have_password = READERS[entry.data[CONF_KIND]].can_have_password
        schema = _RECONFIGURE_SCHEMA if can_have_password else _HOST_SCHEMA
        suggested = user_input or {CONF_HOST: get_entered_host(entry) or entry.data[CONF_HOST]}
        return self.async_show_form(
            step_id="reconfigure",
            data_schema=self.add_suggested_values_to_schema(schema, {CONF_HOST: suggested[CONF_HOST]}),
            errors=errors,
            # An error is shown as plain text.
            description_placeholders={
                "name": escape_markdown(self._name),
                "reader": self._name,
                "found": self._found_name if errors.get("base") == "wrong_device" else "",
            },
        )

    async def _async_identify_again(self, entry: ConfigEntry) -> str | None:
        """Identify the device of an entry. Return the key of an error, or None."""
        error = await self._async_identify(self._password, _weakest_scheme(entry, self._password))
        if error in (None, "unprotected") and self._identity.info.id != entry.unique_id:
            return "wrong_device"
        if error == "invalid_auth" and not READERS[entry.data[CONF_KIND]].can_have_password:
            return "protected_device"
        return error

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: EnergySseConfigEntry) -> OptionsFlow:
        """Return the options flow."""
        return EnergySseOptionsFlow()

    @classmethod
    @callback
    @override
    def async_get_supported_subentry_types(
        cls, config_entry: EnergySseConfigEntry
    ) -> dict[str, type[ConfigSubentryFlow]]:
        """Return the flow of each type of subentry."""
        return {SUBENTRY_POWER_TARIFF: PowerTariffFlow}

    # ------------------------------------------------------------------------------ downgrades

    async def _async_confirm_downgrade(self, error: str) -> ConfigFlowResult:
        """Ask whether to accept a weaker authentication scheme."""
        if error == "unencrypted":
            return await self.async_step_unencrypted()
        if self.source == SOURCE_REAUTH and self._identity.info.id != self._get_reauth_entry().unique_id:
            return self.async_abort(
                reason="wrong_device", description_placeholders={"found": escape_markdown(self._found_name)}
            )
        return await self.async_step_unprotected()

    async def async_step_unencrypted(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether to send the password unencrypted."""
        return await self._async_step_identify("unencrypted", user_input, weakest_scheme=AuthScheme.BASIC)

    async def async_step_unprotected(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether to accept a device that does not require the password."""
        if user_input is not None:
            self._password = None
        result = await self._async_step_identify("unprotected", user_input)
        if self.source == SOURCE_REAUTH and result.get("errors") == {"base": "invalid_auth"}:
            # The reader requires a password again.
            return await self.async_step_reauth_confirm()
        return result

    # ---------------------------------------------------------------------------------- common

    def _set_title(self, name: str) -> None:
        """Set the name of the device, for its card and for dialogs."""
        self._name = name
        self.context["title_placeholders"] = {"name": name}

    def _set_host(self, user_input: dict[str, Any]) -> dict[str, str]:
        """Set the entered address. Return the errors to show."""
        try:
            self._host = parse_host(user_input[CONF_HOST])
        except ValueError:
            is_encrypted = user_input[CONF_HOST].strip().lower().startswith("https:")
            return {CONF_HOST: "encrypted_host" if is_encrypted else "invalid_host"}
        return {}

    def _abort_if_configured(self, entry: ConfigEntry, updates: dict[str, Any] | None = None) -> None:
        """Abort with the name of the entry if the device is configured."""
        self._abort_if_unique_id_configured(
            updates, description_placeholders={"name": escape_markdown(entry.title)}
        )

    def _abort_if_streaming(self) -> None:
        """Abort if the address belongs to a configured device that is streaming.

        Otherwise, the dialog would ask for a password that is already stored.
        """
        entry: EnergySseConfigEntry
        for entry in self._async_current_entries():
            if (
                entry.state is not ConfigEntryState.LOADED
                or not entry.runtime_data.coordinator.data.is_streaming
            ):
                continue
            short_id = entry.runtime_data.coordinator.reader.short_id(str(entry.unique_id)).lower()
            is_local_name = self._host.partition(":")[0].endswith(f"-{short_id}.local")
            if is_local_name or self._host == entry.data[CONF_HOST]:
                raise AbortFlow("already_configured", {"name": escape_markdown(entry.title)})

    async def _async_step_identify(
        self,
        step_id: str,
        user_input: dict[str, Any] | None,
        schema: vol.Schema | None = None,
        weakest_scheme: AuthScheme | None = None,
    ) -> ConfigFlowResult:
        """Show a form that names the device. When it is submitted, identify the device and finish.

        The password is used with `weakest_scheme` or a stronger scheme.
        """
        errors: dict[str, str] = {}
        if user_input is not None:
            error = await self._async_identify(self._password, weakest_scheme)
            if error is None:
                return await self._async_finish()
            if error in _DOWNGRADES:
                return await self._async_confirm_downgrade(error)
            errors["base"] = error
        return self.async_show_form(
            step_id=step_id,
            data_schema=schema,
            errors=errors,
            description_placeholders={"name": escape_markdown(self._name), "host": self._host},
        )

    async def _async_identify_at(
        self,
        hosts: Iterable[str],
        device_id: str,
        password: str | None = None,
        weakest_scheme: AuthScheme | None = None,
    ) -> str | None:
        """Identify the device at the first address where it responds. Return the key of an error, or None.

        `device_id` is empty if it is not known. An error that the user can act on takes precedence.
        """
        errors: dict[str, str] = {}
        for self._host in hosts:
            error = await self._async_identify(password, weakest_scheme)
            if error is None and device_id and self._identity.info.id != device_id:
                error = "not_supported"
            if error is None:
                return None
            errors.setdefault(error, self._host)
        error = next((each for each in _PRECEDENCE if each in errors), "cannot_connect")
        self._host = errors.get(error, "")
        return error

    async def _async_identify(
        self, password: str | None = None, weakest_scheme: AuthScheme | None = None
    ) -> str | None:
        """Identify the device. Return the key of an error, or None."""
        try:
            session = async_get_clientsession(self.hass)
            self._identity = await identify(session, self._host, password, weakest_scheme, kinds=self._kinds)
        except ReaderAuthDowngradeError as error:
            if error.scheme is AuthScheme.BASIC:
                return "unencrypted"
            # The device sends its identity without authentication.
            return await self._async_identify() or "unprotected"
        except ReaderError as error:
            if error.reason is Reason.HOST_UNKNOWN:
                return "host_unknown"
            return next(key for error_type, key in _ERRORS.items() if isinstance(error, error_type))
        except Exception:
            LOGGER.exception("Unexpected error while identifying a device")
            return "unknown"
        return None

    async def _async_finish(self) -> ConfigFlowResult:
        """Create or update the entry of the identified device."""
        info, scheme = self._identity
        data: dict[str, str] = {CONF_HOST: self._host, CONF_AUTH_SCHEME: scheme}
        if self._password is not None:
            data[CONF_PASSWORD] = self._password
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            await self.async_set_unique_id(info.id)
            return self._async_update_entry(data)
        # A discovery of the same device in another flow must not block the user.
        entry = await self.async_set_unique_id(info.id, raise_on_progress=False)
        if entry is not None and self.source != SOURCE_USER:
            # The device has changed its id since its announcement.
            return await self._async_handle_known(entry, [self._host])
        if entry is not None:
            is_weaker = scheme.is_weaker_than(_weakest_scheme(entry))
            entered = {CONF_ENTERED_HOST: self._host}
            self._abort_if_configured(entry, updates=None if is_weaker else data | entered)
        return self.async_create_entry(
            title=info.name or READERS[info.kind].default_name(info.id),
            data={CONF_KIND: info.kind, **data},
            options={CONF_WRITE_INTERVAL: _DEFAULT_WRITE_INTERVAL},
        )

    def _async_update_entry(self, data: dict[str, str]) -> ConfigFlowResult:
        """Update the entry after reauthentication or reconfiguration, if the same device responds."""
        self._abort_if_unique_id_mismatch(
            reason="wrong_device", description_placeholders={"found": escape_markdown(self._found_name)}
        )
        is_reauth = self.source == SOURCE_REAUTH
        entry = self._get_reauth_entry() if is_reauth else self._get_reconfigure_entry()
        # A password that is no longer required is removed.
        kept = {key: value for key, value in entry.data.items() if key != CONF_PASSWORD}
        if not is_reauth or (data[CONF_AUTH_SCHEME] == AuthScheme.BASIC and CONF_ENTERED_HOST in kept):
            # The password may be sent unencrypted to this address only, and not to earlier ones.
            kept |= {CONF_ENTERED_HOST: self._host}
        return self.async_update_reload_and_abort(entry, data={**kept, **data})

    @property
    def _found_name(self) -> str:
        """Name of the identified device."""
        return get_full_name(self._identity.info)


def _entry_name(entry: ConfigEntry) -> str:
    """Return the name of a configured reader, with its model."""
    return READERS[entry.data[CONF_KIND]].full_name(entry.title)


def _as_errors(error: str) -> dict[str, str]:
    """Return an unknown host name as an error of its field, and any other error as one of the whole form."""
    return {CONF_HOST if error == "host_unknown" else "base": error}


def _weakest_scheme(entry: ConfigEntry, password: str | None = None) -> AuthScheme:
    """Return the weakest scheme that is accepted for a reader without asking the user.

    A password needs Digest, whether it is the stored or a new one, unless the reader is known to use Basic.
    """
    if entry.data.get(CONF_AUTH_SCHEME) == AuthScheme.BASIC:
        return AuthScheme.BASIC
    return AuthScheme.DIGEST if password or entry.data.get(CONF_PASSWORD) else AuthScheme.NONE


def get_hosts(discovery_info: ZeroconfServiceInfo) -> list[str]:
    """Return the addresses of the HTTP server of an announced device, the preferred one first.

    The web servers of the devices use IPv4, so IPv6 addresses come last. Addresses that cannot belong to a
    device are ignored. A loopback address belongs to a simulated reader, and is ignored if there is another
    address.
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
    port = port if is_http else _HTTP_PORT
    return [_format_host(str(address), port) for address in addresses[:_MAX_ADDRESSES]]


def _format_host(address: str, port: int) -> str:
    """Return `host`, or `host:port` if the port is not the default one."""
    return URL.build(scheme="http", host=address, port=port).host_port_subcomponent or address
