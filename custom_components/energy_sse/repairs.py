"""Repair flows."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import override

from homeassistant.components.repairs import ConfirmRepairFlow, FlowType, RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigFlowContext
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from sqlalchemy.exc import SQLAlchemyError

from .const import DOMAIN
from .issues import FIXED_BY_RECONFIGURE
from .sum_reset import async_raise_sums


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the repair flow of an issue."""
    return ReconfigureFlow() if issue_id.startswith(FIXED_BY_RECONFIGURE) else SumResetFlow()


class ReconfigureFlow(ConfirmRepairFlow):
    """Repair flow that opens *Reconfigure*. The issue is deleted when the right reader responds."""

    @override
    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Show the issue, and open the dialog when the user confirms."""
        if user_input is None:
            return await super().async_step_confirm()
        assert self.data is not None
        entry_id = str(self.data["entry_id"])
        if self.hass.config_entries.async_get_entry(entry_id) is None:
            # The user has removed the entry while the dialog was open.
            return self.async_create_entry(data={})
        context = ConfigFlowContext(source=SOURCE_RECONFIGURE, entry_id=entry_id)
        flow = await self.hass.config_entries.flow.async_init(DOMAIN, context=context)
        return self.async_abort(reason="reconfigure", next_flow=(FlowType.CONFIG_FLOW, flow["flow_id"]))


class SumResetFlow(ConfirmRepairFlow):
    """Repair flow that raises the sums of a statistic that were reset to zero."""

    @override
    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Show the issue, and raise the sums when the user confirms."""
        if user_input is None:
            return await super().async_step_confirm()
        assert self.data is not None
        data = self.data
        # Version 0.1 stored the entity id of the sensor, which the user can change.
        sensor = er.async_get(self.hass).async_get(str(data.get("entity", data.get("statistic_id"))))
        if sensor is None:
            return self.async_create_entry(data={})
        start = datetime.fromtimestamp(float(data["start"] or 0), UTC)
        is_raised = False
        # A RuntimeError is raised if the recorder has stopped.
        with suppress(SQLAlchemyError, RuntimeError):
            if "recorder" in self.hass.config.components:
                is_raised = await async_raise_sums(self.hass, sensor.entity_id, start)
        if not is_raised:
            return self.async_abort(reason="database_problem")
        return self.async_create_entry(data={})
