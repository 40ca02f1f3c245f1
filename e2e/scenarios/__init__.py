"""Scenarios. Each one continues where the one before has ended."""

from collections.abc import Awaitable, Callable
from types import ModuleType

from e2e.home import Home

type Step = Callable[[Home], Awaitable[None]]


def steps_of(scenario: ModuleType) -> list[tuple[str, Step]]:
    """Return the steps of a scenario in order, with their names: the sentences of their docstrings."""
    functions = [
        value
        for name, value in vars(scenario).items()
        if getattr(value, "__module__", None) == scenario.__name__ and not name.startswith("_")
    ]
    return [((function.__doc__ or "").strip(), function) for function in functions]
