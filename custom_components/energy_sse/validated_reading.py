"""Validated reading: the result of `readings.py`, with which `histories.py` is updated.

This module does not import Home Assistant.
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
    """Values to write, because they have changed or were not written for a minute."""

    replaced: Mapping[Measurement, ReplacedRegister]
    """Meter replacements that the reading confirms."""

    time: datetime
    """Wall clock time, in UTC."""

    received_at: float
    """Time of the event loop's clock, in seconds."""

    interval: float
    """Usual time between readings in seconds; 0 while it is unknown."""

    wrong_period: Period | None
    """Period in which the wall clock was wrong, so that totals of its boundaries are removed."""

    is_repeated: bool
    """True if the reader repeats the reading after a connect, so that the recorder does not have it at this
    time.
    """

    is_delayed: bool
    """True if the reading was delayed, so that it was measured before `time`."""

    has_right_clock: bool
    """True if the reader's clock is right, so that the registers that it stores on the hour are used."""
