"""Validated readings without the reader that sends them."""

from datetime import datetime
from typing import Any

from custom_components.energy_sse.validated_reading import ValidatedReading


def validated_reading(time: datetime, interval: float, **fields: Any) -> ValidatedReading:
    """Return a reading at a time of a reader that sends one in each interval of some seconds."""
    defaults: dict[str, Any] = {
        "values": {},
        "changed": {},
        "replaced": {},
        "received_at": time.timestamp(),
        "wrong_period": None,
        "is_repeated": False,
        "is_delayed": False,
        "has_right_clock": False,
    }
    return ValidatedReading(time=time, interval=interval, **{**defaults, **fields})
