"""What a click of the user sets right."""

from datetime import UTC, datetime

from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.dispatcher import async_dispatcher_send
import voluptuous as vol

from .const import DOMAIN
from .statistics import SIGNAL_SUMS_RAISED
from .sum_restart import async_raise_sums


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the dialog of an issue; there is one kind that can be fixed."""
    return SumRestartFlow()


class SumRestartFlow(RepairsFlow):
    """Shows by how much the sums of a statistic are off, and raises them."""

    async def async_step_init(
        self,
        user_input: dict[str, str] | None = None,  # noqa: ARG002 (the first step has none)
    ) -> RepairsFlowResult:
        """Begin."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Show the numbers; raise the sums when they are confirmed."""
        if user_input is None:
            issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
            return self.async_show_form(
                step_id="confirm",
                data_schema=vol.Schema({}),
                description_placeholders=None if issue is None else issue.translation_placeholders,
            )
        assert self.data is not None
        start = datetime.fromtimestamp(float(self.data["start"] or 0), UTC)
        if await async_raise_sums(self.hass, str(self.data["statistic_id"]), start):
            async_dispatcher_send(self.hass, SIGNAL_SUMS_RAISED)
        return self.async_create_entry(data={})
