"""Early pytest plugin that runs the test package of Home Assistant 2026.10 on 2026.11.

It changes nothing on other versions.
"""

# First, because Home Assistant replaces httpx, which the test package imports.
import homeassistant  # noqa: F401, I001

from homeassistant.components import logger


async def _clear_nothing(*_: object) -> None:
    """Replace a function that the test package calls, and that 2026.11 does not have."""


if not hasattr(logger, "_clear_logger_overwrites"):
    setattr(logger, "_clear_logger_overwrites", _clear_nothing)  # noqa: B010 (mypy does not know the attribute)
