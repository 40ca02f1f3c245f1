"""Home Assistant in its own process, and its API as a browser uses it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
import json
import os
from pathlib import Path
import shutil
import signal
import socket
import sys
from time import monotonic
from typing import Any, Self

import aiohttp

from .console import note

ROOT = Path(__file__).parents[1]

CONFIGURATION = """\
# The demo writes this file at each start.
frontend:
config:
history:
logbook:
recorder:
  # Long enough not to hide the changes of the demo.
  commit_interval: 2
energy:
zeroconf:
automation: !include automations.yaml
my:
logger:
  default: warning
  logs:
    custom_components.energy_sse: info
"""


def http_configuration(address: str, port: int) -> dict[str, Any]:
    """Return the address to listen on, as Home Assistant 2026.11 stores it.

    In `configuration.yaml` it would only be on trial, and be taken back after some minutes.
    """
    return {
        "version": 3,
        "minor_version": 1,
        "key": "http",
        "data": {
            "stable": {
                "server_host": [address],
                "server_port": port,
                "cors_allowed_origins": [],
                "login_attempts_threshold": -1,
                "ip_ban_enabled": True,
                "ssl_profile": "intermediate_v6",
                "use_x_frame_options": True,
                "created_at": "2026-11-01T00:00:00+00:00",
                "error": None,
                "error_message": None,
            },
            "pending": None,
            "yaml_migration_done": True,
        },
    }


# Seconds. Home Assistant allows more, but a demo has little to write.
STOP_TIMEOUT = 40
PROGRESS_INTERVAL = 15
START_TIMEOUT = 600


class HomeAssistantFailedError(Exception):
    """Home Assistant did not start, or rejected a request."""


def free_port(wanted: int, address: str, what: str) -> int:
    """Return the port, or another one with a note if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            found: int = probe.getsockname()[1]
            if port != wanted:
                note(f"Port {wanted} is in use here; {what} takes {found}.")
            return found
    raise HomeAssistantFailedError(f"{what} finds no port at {address}.")


class HomeAssistantProcess:
    """Process of Home Assistant with a config folder."""

    def __init__(self, folder: Path, *, address: str, port: int, archive: Path | None = None) -> None:
        """Set the folder, the address and the port.

        The integration is the one in this repository, or that of the archive of a release.
        """
        self.folder = folder
        self.log = folder / "home-assistant.log"
        self.url = f"http://{address}:{port}"
        self._address = address
        self._port = port
        self.configuration = CONFIGURATION
        self._archive = archive
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process, after it has started."""
        return None if self._process is None else self._process.pid

    async def start(self, on_waiting: Callable[[float], None] = lambda _seconds: None) -> None:
        """Write the configuration, copy the integration, and run until the API responds.

        Calls a function repeatedly with the seconds of waiting.
        """
        integration = self.folder / "custom_components/energy_sse"
        integration.parent.mkdir(parents=True, exist_ok=True)
        if self._archive is None:
            integration.unlink(missing_ok=True)
            integration.symlink_to(ROOT / "custom_components/energy_sse", target_is_directory=True)
        else:
            shutil.unpack_archive(self._archive, integration)
        (self.folder / "configuration.yaml").write_text(self.configuration)
        storage = self.folder / ".storage"
        storage.mkdir(exist_ok=True)
        (storage / "http").write_text(json.dumps(http_configuration(self._address, self._port)))
        automations = self.folder / "automations.yaml"
        if not automations.exists():
            automations.write_text("[]\n")
        with (self.folder / "console.log").open("wb") as console:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "homeassistant", "--config", str(self.folder)),
                # Otherwise, Python imports the custom_components of the repository.
                cwd=self.folder,
                stdout=console,
                stderr=console,
                # In its own process group, so that Ctrl-C reaches only the demo, which stops it in order.
                start_new_session=True,
            )
        async with aiohttp.ClientSession() as session, asyncio.timeout(START_TIMEOUT):
            started = last_report = monotonic()
            while not await self._answers(session):
                if self._process.returncode is not None:
                    raise HomeAssistantFailedError(f"Home Assistant ended at its start; see {self.log}.")
                if monotonic() - last_report >= PROGRESS_INTERVAL:
                    last_report = monotonic()
                    on_waiting(last_report - started)
                await asyncio.sleep(0.2)

    async def wait(self) -> None:
        """Wait until Home Assistant ends."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Stop Home Assistant, or kill it after a timeout."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/manifest.json") as response:
                return response.status == 200  # noqa: PLR2004
        except aiohttp.ClientError:
            return False


class HomeAssistantApi:
    """Client of the API, as the owner."""

    def __init__(self, url: str) -> None:
        """Set the URL."""
        self._url = url
        self._client_id = f"{url}/"
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self._session.close()

    async def onboard(self, name: str, username: str, password: str) -> bool:
        """Create the owner, and log in. Return False if there is an owner."""
        async with self._session.get(f"{self._url}/api/onboarding") as response:
            # The page does not exist after onboarding.
            if response.status == 404:  # noqa: PLR2004
                return False
        user = {"name": name, "username": username, "password": password, "language": "en"}
        answer = await self.post("/api/onboarding/users", {"client_id": self._client_id, **user})
        await self._take_token(answer["auth_code"])
        await self.post("/api/onboarding/core_config", {})
        await self.post("/api/onboarding/analytics", {})
        await self.post(
            "/api/onboarding/integration",
            {"client_id": self._client_id, "redirect_uri": f"{self._url}/?auth_callback=1"},
        )
        return True

    async def log_in(self, username: str, password: str) -> None:
        """Log in."""
        flow = await self.post(
            "/auth/login_flow",
            {
                "client_id": self._client_id,
                "handler": ["homeassistant", None],
                "redirect_uri": f"{self._url}/?auth_callback=1",
            },
        )
        credentials = {"client_id": self._client_id, "username": username, "password": password}
        result = await self.post(f"/auth/login_flow/{flow['flow_id']}", credentials)
        if result["type"] != "create_entry":
            raise HomeAssistantFailedError("The login is refused.")
        await self._take_token(result["result"])

    async def stay_logged_in(self) -> None:
        """Renew the access token, which expires after half an hour."""
        refresh_token = self.tokens["refresh_token"]
        answer = await self._ask_for_token(grant_type="refresh_token", refresh_token=refresh_token)
        self.use_tokens({**self.tokens, **answer})

    async def _take_token(self, code: str) -> None:
        self.use_tokens(await self._ask_for_token(grant_type="authorization_code", code=code))

    async def _ask_for_token(self, **form: str) -> dict[str, Any]:
        form["client_id"] = self._client_id
        async with self._session.post(f"{self._url}/auth/token", data=form) as response:
            answer: dict[str, Any] = await _json(response)
        return answer

    def use_tokens(self, tokens: dict[str, Any]) -> None:
        """Use these tokens."""
        self.tokens = tokens
        self._session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    async def get(self, path: str) -> Any:
        """Send a GET request."""
        async with self._session.get(self._url + path) as response:
            return await _json(response)

    async def post(self, path: str, payload: dict[str, Any]) -> Any:
        """Send a POST request."""
        async with self._session.post(self._url + path, json=payload) as response:
            return await _json(response)

    async def delete(self, path: str) -> Any:
        """Send a DELETE request."""
        async with self._session.delete(self._url + path) as response:
            return await _json(response)

    async def command(self, command: str, **arguments: Any) -> Any:
        """Send a command over a WebSocket, and return its result."""
        # One WebSocket for each command, because Home Assistant closes those that are not read.
        async with self._session.ws_connect(f"{self._url}/api/websocket", max_msg_size=0) as websocket:
            await websocket.receive_json()
            await websocket.send_json({"type": "auth", "access_token": self.tokens["access_token"]})
            await websocket.receive_json()
            await websocket.send_json({"id": 1, "type": command, **arguments})
            answer = await websocket.receive_json()
        if not answer["success"]:
            raise HomeAssistantFailedError(f"{command}: {answer['error']['message']}")
        return answer["result"]

    async def wait_running(self) -> None:
        """Wait until Home Assistant has started."""
        while (await self.get("/api/config"))["state"] != "RUNNING":
            await asyncio.sleep(0.2)


async def _json(response: aiohttp.ClientResponse) -> Any:
    if response.status >= 400:  # noqa: PLR2004
        raise HomeAssistantFailedError(f"{response.url.path}: {await response.text()}")
    return await response.json()
