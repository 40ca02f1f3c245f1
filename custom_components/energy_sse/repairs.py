"""Repair flows."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import override

from homeassistant.components.repairs import FlowType, RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigFlowContext
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from sqlalchemy.exc import SQLAlchemyError
import voluptuous as vol

from .const import DOMAIN
from .issues import FIXED_BY_RECONFIGURE
from .sum_reset import async_raise_sums


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the repair flow of an issue."""
    return ReconfigureFlow() if issue_id.startswith(FIXED_BY_RECONFIGURE) else SumResetFlow()


class IssueFlow(RepairsFlow):
    """Shows an issue, and repairs it when the user confirms."""

    async def async_step_init(
        self,
        user_input: dict[str, str] | None = None,  # noqa: ARG002 (the first step has none)
    ) -> RepairsFlowResult:
        """Handle the first step."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Show the issue, and repair it when the user confirms."""
        if user_input is None:
            issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
            return self.async_show_form(
                step_id="confirm",
                data_schema=vol.Schema({}),
                description_placeholders=None if issue is None else issue.translation_placeholders,
            )
        assert self.data is not None
        return await self._async_fix(self.data)

    @abstractmethod
    async def _async_fix(self, data: Mapping[str, str | float | None]) -> RepairsFlowResult:
        """Repair the issue with its data."""


class ReconfigureFlow(IssueFlow):
    """Opens *Reconfigure*. The issue is deleted when the right reader answers."""

    @override
    async def _async_fix(self, data: Mapping[str, str | float | None]) -> RepairsFlowResult:
        entry_id = str(data["entry_id"])
        if self.hass.config_entries.async_get_entry(entry_id) is None:
            # The user has removed the entry while the dialog was open.
            return self.async_create_entry(data={})
        context = ConfigFlowContext(source=SOURCE_RECONFIGURE, entry_id=entry_id)
        flow = await self.hass.config_entries.flow.async_init(DOMAIN, context=context)
        return self.async_abort(reason="reconfigure", next_flow=(FlowType.CONFIG_FLOW, flow["flow_id"]))


class SumResetFlow(IssueFlow):
    """Raises the sums of a statistic that were reset to zero."""

    @override
    async def _async_fix(self, data: Mapping[str, str | float | None]) -> RepairsFlowResult:
        # Version 0.1 has stored the id of the sensor, which the user can change.
        sensor = er.async_get(self.hass).async_get(str(data.get("entity", data.get("statistic_id"))))
        if sensor is None:
            return self.async_create_entry(data={})
        start = datetime.fromtimestamp(float(data["start"] or 0), UTC)
        is_raised = False
        # RuntimeError: the recorder has stopped.
        with suppress(SQLAlchemyError, RuntimeError):
            if "recorder" in self.hass.config.components:
                is_raised = await async_raise_sums(self.hass, sensor.entity_id, start)
        if not is_raised:
            return self.async_abort(reason="database_problem")
        return self.async_create_entry(data={})
