"""Whatever a dialog shows has a text, and whatever its text names is given to it."""

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
from string import Formatter
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import OptionsFlow
from homeassistant.data_entry_flow import FlowHandler, FlowManager, FlowResult, FlowResultType

from custom_components.energy_sse.config_flow import EnergySseConfigFlow
from custom_components.energy_sse.options_flow import EnergySseOptionsFlow

TEXTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "custom_components/energy_sse/translations/en.json").read_text()
)


def placeholders_of(texts: object) -> set[str]:
    """Return the placeholders in all texts that an object holds."""
    if isinstance(texts, dict):
        return {name for inner in texts.values() for name in placeholders_of(inner)}
    return {name for _, name, _, _ in Formatter().parse(str(texts)) if name is not None}


def check(flow: FlowHandler[Any, Any], result: FlowResult[Any, Any]) -> None:
    """Check one page of a dialog."""
    texts = TEXTS["options" if isinstance(flow, OptionsFlow) else "config"]
    given = set(result.get("description_placeholders") or {})
    if result["type"] is FlowResultType.FORM:
        step = texts["step"][result["step_id"]]
        assert step["title"]
        shown = [step, *(texts["error"][error] for error in (result["errors"] or {}).values())]
    elif result["type"] is FlowResultType.ABORT:
        shown = [texts["abort"][result["reason"]]]
    else:
        return
    missing = {name for each in shown for name in placeholders_of(each)} - given
    assert not missing, f"{result.get('step_id') or result.get('reason')}: nothing is given for {missing}"


@contextmanager
def checked() -> Iterator[None]:
    """Check every page of our dialogs that is shown meanwhile."""
    handle_step = FlowManager._async_handle_step  # noqa: SLF001

    async def handle_and_check(
        manager: FlowManager[Any, Any], flow: FlowHandler[Any, Any], *args: Any, **kwargs: Any
    ) -> Any:
        result = await handle_step(manager, flow, *args, **kwargs)
        if isinstance(flow, EnergySseConfigFlow | EnergySseOptionsFlow):
            check(flow, result)
        return result

    with patch.object(FlowManager, "_async_handle_step", handle_and_check):
        yield
