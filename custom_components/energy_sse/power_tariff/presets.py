"""Presets for the usual contracts with a power tariff.

Each label names the contract and the demands that it bills.
This module does not import Home Assistant.

A preset has the rules that differ from the defaults of a new power tariff. Its name is in the translations.
Peak hours and seasons differ between grid companies, so the dialog shows all rules before they are stored.
"""

from collections.abc import Mapping
from typing import Any, Final

_HOUR: Final = {"interval": "60"}
_QUARTER: Final = {"interval": "15", "peaks": 1, "one_per_day": False}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "effekttariff": {**_HOUR, "peaks": 3, "one_per_day": True},
    "effekttariff_night": {
        **_HOUR,
        "peaks": 3,
        "one_per_day": True,
        "begin": "06:00",
        "end": "22:00",
        "other_weight": 50,
    },
    "effekttariff_winter": {
        **_HOUR,
        "peaks": 5,
        "one_per_day": False,
        "months": ["11", "12", "1", "2", "3"],
        "days": "weekdays",
        "begin": "07:00",
        "end": "19:00",
    },
    "kapasitetsledd": {**_HOUR, "peaks": 3, "one_per_day": True},
    "leistungstarif": _QUARTER,
    "leistungstarif_day": {**_QUARTER, "days": "weekdays", "begin": "07:00", "end": "20:00"},
    # At least 2.5 kW are billed in Flanders.
    "capaciteitstarief": {**_QUARTER, "min_limit": 2.5},
    "custom": {},
}

# Contract that is selected at first, by the country of Home Assistant.
DEFAULT_PRESETS: Final[Mapping[str | None, str]] = {
    "BE": "capaciteitstarief",
    "CH": "leistungstarif",
    "NO": "kapasitetsledd",
    "SE": "effekttariff",
}
