"""Adding a reader: found on the network or entered by hand, with a password where it wants one."""

from collections.abc import Mapping
from ipaddress import IPv4Address
import logging
from typing import Any, Final, override

from homeassistant.config_entries import (
    SOURCE_IGNORE,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlow,
    OptionsFlowWithReload,
)
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import voluptuous as vol
from yarl import URL

from .const import (
    CONF_COUNTERS,
    CONF_FILL_MISSED_HOURS,
    CONF_KIND,
    CONF_WRITE_INTERVAL,
    DOMAIN,
    CounterKind,
)
from .coordinator import EnergySseConfigEntry
from .reader import (
    READERS,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderInfo,
    ReaderKind,
    ReaderProtocolError,
    default_name,
    identify,
    parse_host,
)
from .registry import Registry

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

_HTTP_PORT: Final = 80
_TELNET_PORT: Final = 23

_CURRENTLYONE_PREFIX: Final = "currentlyone_"

# Seconds, as the texts of a selector. Each is a row in the database per sensor that changes.
_WRITE_INTERVALS: Final = ["0", "10", "30", "60"]

# The whatwatt's Ethernet address follows its Wi-Fi address, which is its id, at this distance.
_ETHERNET_OFFSET: Final = 3


class EnergySseConfigFlow(ConfigFlow, domain=DOMAIN):
    """Asks the device who it is before anything is created."""

    VERSION = 1

    _host: str
    _info: ReaderInfo

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
                    return await self.async_step_password()
                if error is None:
                    return await self._async_finish()
                errors["base"] = error
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(_HOST_SCHEMA, user_input),
            errors=errors,
        )

    async def async_step_password(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the password that the device wants."""
        errors: dict[str, str] = {}
        if user_input is not None:
            error = await self._async_identify(user_input[CONF_PASSWORD])
            if error is None:
                return await self._async_finish(user_input[CONF_PASSWORD])
            errors["base"] = error
        return self.async_show_form(
            step_id="password",
            data_schema=_PASSWORD_SCHEMA,
            errors=errors,
            description_placeholders={"host": self._host},
        )

    # ---------------------------------------------------------------------------------- discovered

    @override
    async def async_step_zeroconf(self, discovery_info: ZeroconfServiceInfo) -> ConfigFlowResult:
        """Handle an announcement by mDNS."""
        self._host = host_of(discovery_info)
        instance = discovery_info.name.removesuffix(f".{discovery_info.type}").lower()
        if instance.startswith(_CURRENTLYONE_PREFIX):
            device_id = instance.removeprefix(_CURRENTLYONE_PREFIX)
            return await self._async_step_discovered(ReaderKind.CURRENTLYONE, device_id)
        device_id = (discovery_info.properties.get("id") or "").upper()
        return await self._async_step_discovered(ReaderKind.WHATWATT, device_id)

    @override
    async def async_step_dhcp(self, discovery_info: DhcpServiceInfo) -> ConfigFlowResult:
        """Handle an address given out, to a new device with a telling name or to a known one."""
        self._host = _join(discovery_info.ip, _HTTP_PORT)
        mac_address = discovery_info.macaddress
        hostname = discovery_info.hostname.lower()
        whatwatt_ids = [f"{int(mac_address, 16) - offset:012X}" for offset in (0, _ETHERNET_OFFSET)]
        currentlyone_id = bytes.fromhex(mac_address)[::-1].hex()
        if currentlyone_id in self._async_current_ids() or hostname.startswith(_CURRENTLYONE_PREFIX):
            return await self._async_step_discovered(ReaderKind.CURRENTLYONE, currentlyone_id)
        known = (each for each in whatwatt_ids if each in self._async_current_ids())
        named = (each for each in whatwatt_ids if hostname.endswith(each[-6:].lower()))
        device_id = next(known, next(named, whatwatt_ids[0]))
        return await self._async_step_discovered(ReaderKind.WHATWATT, device_id)

    async def _async_step_discovered(self, kind: ReaderKind, device_id: str) -> ConfigFlowResult:
        """Ask the device whether it is what it was announced to be.

        An announcement may lack the id; then the device's own word is all there is.
        """
        entry: EnergySseConfigEntry | None = await self.async_set_unique_id(device_id or None)
        if entry is not None and entry.state is ConfigEntryState.LOADED:
            # A stream that runs goes on; one that does not is looked for there.
            entry.runtime_data.async_seen_at(self._host)
            self._abort_if_unique_id_configured()
        if entry is not None and (entry.source == SOURCE_IGNORE or entry.data[CONF_HOST] == self._host):
            self._abort_if_unique_id_configured()
        error = await self._async_identify(entry.data.get(CONF_PASSWORD) if entry is not None else None)
        if entry is None and error == "invalid_auth":
            self.context["title_placeholders"] = {"name": default_name(kind, device_id)}
            return await self.async_step_password()
        if error is not None:
            return self.async_abort(reason=error)
        if device_id and self._info.id != device_id:
            return self.async_abort(reason="not_supported")
        await self.async_set_unique_id(self._info.id)
        self._abort_if_unique_id_configured(updates={CONF_HOST: self._host})
        self.context["title_placeholders"] = {"name": self._title}
        return await self.async_step_discovery_confirm()

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
                return await self._async_finish()
            errors["base"] = error
        return self.async_show_form(
            step_id="discovery_confirm",
            errors=errors,
            description_placeholders={"name": self._title, "host": self._host},
        )

    # ------------------------------------------------------------------------- a password that changed

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Handle a device that refuses the login."""
        self._host = entry_data[CONF_HOST]
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the new password."""
        errors: dict[str, str] = {}
        if user_input is not None:
            error = await self._async_identify(user_input[CONF_PASSWORD])
            if error is None:
                await self.async_set_unique_id(self._info.id)
                self._abort_if_unique_id_mismatch(reason="wrong_device")
                return self.async_update_reload_and_abort(self._get_reauth_entry(), data_updates=user_input)
            errors["base"] = error
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=_PASSWORD_SCHEMA,
            errors=errors,
            description_placeholders={"host": self._host},
        )

    # -------------------------------------------------------------------- another address or password

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address and the password anew."""
        entry = self._get_reconfigure_entry()
        errors: dict[str, str] = {}
        found = ""
        if user_input is not None:
            password = user_input.get(CONF_PASSWORD) or entry.data.get(CONF_PASSWORD)
            try:
                self._host = parse_host(user_input[CONF_HOST])
            except ValueError:
                errors[CONF_HOST] = "invalid_host"
            else:
                error = await self._async_identify(password)
                if error is not None:
                    errors["base"] = error
                elif self._info.id != entry.unique_id:
                    errors["base"] = "wrong_device"
                    found = self._title
                else:
                    login = {} if password is None else {CONF_PASSWORD: password}
                    return self.async_update_reload_and_abort(
                        entry, data_updates={CONF_HOST: self._host, **login}
                    )
        suggested = user_input or {CONF_HOST: entry.data[CONF_HOST]}
        return self.async_show_form(
            step_id="reconfigure",
            data_schema=self.add_suggested_values_to_schema(
                _RECONFIGURE_SCHEMA, {CONF_HOST: suggested[CONF_HOST]}
            ),
            errors=errors,
            description_placeholders={"name": entry.title, "found": found},
        )

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: EnergySseConfigEntry) -> OptionsFlow:
        """Return the dialog of the options."""
        return EnergySseOptionsFlow()

    # ---------------------------------------------------------------------------------- what they share

    async def _async_identify(self, password: str | None = None) -> str | None:
        """Ask the device who it is. Returns the key of an error, or None."""
        try:
            self._info = await identify(async_get_clientsession(self.hass), self._host, password)
        except ReaderAuthenticationError:
            return "invalid_auth"
        except ReaderConnectionError:
            return "cannot_connect"
        except ReaderProtocolError:
            return "not_supported"
        except Exception:
            _LOGGER.exception("Unexpected error while asking a device who it is")
            return "unknown"
        return None

    async def _async_finish(self, password: str | None = None) -> ConfigFlowResult:
        """Create the entry of the device that has been identified."""
        login = {} if password is None else {CONF_PASSWORD: password}
        # A flow of the same device, begun by its discovery, must not block its owner.
        await self.async_set_unique_id(self._info.id, raise_on_progress=False)
        self._abort_if_unique_id_configured(updates={CONF_HOST: self._host, **login})
        return self.async_create_entry(
            title=self._title, data={CONF_HOST: self._host, CONF_KIND: self._info.kind, **login}
        )

    @property
    def _title(self) -> str:
        return self._info.name or default_name(self._info.kind, self._info.id)


class EnergySseOptionsFlow(OptionsFlowWithReload):
    """Asks how often to write, whether to fill, and what the counters count that the meter passes on."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for all options at once."""
        if user_input is not None:
            return self.async_create_entry(
                data={
                    **user_input,
                    CONF_WRITE_INTERVAL: int(user_input[CONF_WRITE_INTERVAL]),
                    CONF_COUNTERS: {**self._counters, **user_input.get(CONF_COUNTERS, {})},
                }
            )
        fields: dict[vol.Marker, Any] = {
            vol.Required(
                CONF_WRITE_INTERVAL, default=str(self.config_entry.options.get(CONF_WRITE_INTERVAL, 0))
            ): SelectSelector(
                SelectSelectorConfig(options=_WRITE_INTERVALS, translation_key="write_interval")
            )
        }
        if READERS[self.config_entry.data[CONF_KIND]].remembers_hours:
            chosen = self.config_entry.options.get(CONF_FILL_MISSED_HOURS, True)
            fields[vol.Required(CONF_FILL_MISSED_HOURS, default=chosen)] = BooleanSelector()
        if self._counters:
            kinds = SelectSelector(
                SelectSelectorConfig(options=list(CounterKind), translation_key="counter_kind")
            )
            # A field is called by the number that stands on the meter.
            counters = {
                vol.Required(meter_id, default=kind): kinds for meter_id, kind in self._counters.items()
            }
            fields[vol.Required(CONF_COUNTERS)] = section(vol.Schema(counters))
        return self.async_show_form(step_id="init", data_schema=vol.Schema(fields))

    @property
    def _counters(self) -> dict[str, str]:
        """What is chosen for the counters that have ever been heard of."""
        chosen: dict[str, str] = self.config_entry.options.get(CONF_COUNTERS, {})
        known = Registry(self.hass, self.config_entry).counters()
        return {**dict.fromkeys(known, str(CounterKind.NONE)), **chosen}


def host_of(discovery_info: ZeroconfServiceInfo) -> str:
    """Return where the HTTP server of an announced device is."""
    # The devices' web servers speak IPv4, whatever else is announced.
    address = next(
        (a for a in discovery_info.ip_addresses if isinstance(a, IPv4Address)), discovery_info.ip_address
    )
    # `_currently._tcp` may announce the port of the device's telnet server.
    port = discovery_info.port
    return _join(str(address), _HTTP_PORT if port is None or port == _TELNET_PORT else port)


def _join(address: str, port: int) -> str:
    """Return `host`, or `host:port` where the port is not HTTP's own."""
    return URL.build(scheme="http", host=address, port=port).host_port_subcomponent or address
