"""Validated reading: the message from the coordinator to entities, statistics and power tariff.

Imports nothing of Home Assistant.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from .reader import Measurement, ReplacedRegister
from .wall_clock import Period


class ValidatedReading(NamedTuple):
    """A reading after the validation."""

    values: Mapping[Measurement, float]
    """All accepted values, in the units of the reader's `units`."""

    changed: Mapping[Measurement, float]
    """Values to write: those that have changed, or that were not written for a minute."""

    replaced: Mapping[Measurement, ReplacedRegister]
    """Meter replacements that the reading confirms."""

    time: datetime
    """Wall clock time, in UTC."""

    received_at: float
    """Time of the event loop's clock, in seconds."""

    interval: float
    """Usual seconds between readings; 0 while they are unknown."""

    distrusted: Period | None
    """Period whose times were noted by a wrong wall clock."""

    is_repeated: bool
    """True if the reader repeats the reading after a connect, so that the recorder does not have it at this
    time.
    """

    is_delayed: bool
    """True if the reading has waited, so that it is older than its time."""

    has_right_clock: bool
    """True if the reader's clock is right to within a telegram, so that the registers it stores count."""
