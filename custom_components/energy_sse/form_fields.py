"""Fields of dialogs, and the numbers that they return."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)


def dropdown(
    options: Iterable[str], translation_key: str | None = None, *, multiple: bool = False
) -> SelectSelector:
    """Return a field in which the user selects one of some texts, or several of them."""
    config = SelectSelectorConfig(options=list(options), mode=SelectSelectorMode.DROPDOWN, multiple=multiple)
    if translation_key is not None:
        config["translation_key"] = translation_key
    return SelectSelector(config)


def number_box(
    minimum: int, maximum: int, unit: str | None = None, *, step: Literal[1, "any"] = 1
) -> NumberSelector:
    """Return a field for a number within limits. It accepts fractions, in spite of its step."""
    config = NumberSelectorConfig(min=minimum, max=maximum, step=step, mode=NumberSelectorMode.BOX)
    if unit is not None:
        config["unit_of_measurement"] = unit
    return NumberSelector(config)


def whole[T](value: T) -> T | int:
    """Return an integer for a number without a fraction, because number fields return floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def get_fraction_errors(values: Mapping[str, Any], *keys: str) -> dict[str, str]:
    """Return the error of each of some fields whose number has a fraction."""
    return {key: "not_whole" for key in keys if isinstance(whole(values.get(key)), float)}
