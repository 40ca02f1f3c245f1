"""An early pytest plugin: lets the test package, made for Home Assistant 2026.10, run on 2026.11.

Does nothing on Home Assistants that have no need of it.
"""

# First of all, because Home Assistant replaces httpx, which the test package's tools import.
import homeassistant  # noqa: F401, I001

from homeassistant.components import logger


async def _clear_nothing(*_: object) -> None:
    """Stand in for a function that the test package calls and 2026.11 no longer has."""


if not hasattr(logger, "_clear_logger_overwrites"):
    setattr(logger, "_clear_logger_overwrites", _clear_nothing)  # noqa: B010 (mypy knows no such attribute)
