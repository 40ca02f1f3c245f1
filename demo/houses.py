"""Houses and readers of the demo."""

from datetime import UTC, datetime, timedelta, tzinfo
import json
from pathlib import Path
from typing import Any, Final, override
from zoneinfo import ZoneInfo

from tests.simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator
from tests.simulators.house import ZURICH
from tests.simulators.household import Household

PASSWORD: Final = "watt"

# The houses have a past of this length.
PAST: Final = timedelta(days=60)

# Seconds of a day with --fast.
FAST_DAY: Final = 600.0

ANNEX: Final = "ECC9FF5C7F14"
SPARE_WHATWATT: Final = "ECC9FF8A2B30"
CASA_MIA: Final = "b8b41879cf58"
GAS_METER: Final = "71203344"


class ReaderWithGasMeter(WhatwattSimulator):
    """A whatwatt Go whose meter also sends the register of a gas meter."""

    house: Household

    @override
    def live(self) -> dict[str, Any]:
        self.sub_meters = {GAS_METER: round(self.house.gas, 3)}
        return super().live()


def beginning_of_the_past(path: Path, zone: tzinfo = ZURICH) -> datetime:
    """Return when the houses begin: at a midnight in their time zone.

    A file stores it, so that their registers continue at the next start.
    """
    if not path.exists():
        midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        path.write_text(json.dumps((midnight - PAST).isoformat()))
    return datetime.fromisoformat(json.loads(path.read_text())).astimezone(UTC)


def make_readers(begin: datetime, *, is_fast: bool = False, zone: ZoneInfo = ZURICH) -> list[Simulator]:
    """Return the readers of three houses that begin at a time.

    With `is_fast`, a day lasts ten minutes from now on. The house of the third reader has no past.
    """
    # The sun is in the south at the same local time in each zone.
    offset = zone.utcoffset(datetime(begin.year, 1, 1)) or timedelta()  # noqa: DTZ001 (local time)
    place: dict[str, Any] = {"zone": zone, "longitude": 8.5 + 15 * (offset / timedelta(hours=1) - 1)}
    casa_mia = Household(clock=begin, seed=1, **place)
    annex = Household(
        clock=begin, seed=4, size=0.55, solar_peak=3000.0, has_heat_pump=False, has_car=False, **place
    )
    spare = Household(
        clock=(begin.astimezone(zone) + PAST).astimezone(UTC), seed=3, size=1.2, solar_peak=0.0, **place
    )
    if is_fast:
        for house in (casa_mia, annex, spare):
            house.fast_since, house.speed = datetime.now(UTC), timedelta(days=1).total_seconds() / FAST_DAY
    return [
        CurrentlyOneSimulator(casa_mia, device_id=CASA_MIA, name="Casa Mia", interval=5),
        ReaderWithGasMeter(
            annex, device_id=ANNEX, name="Annex", password=PASSWORD, license_type="PLUS", interval=2
        ),
        WhatwattSimulator(spare, device_id=SPARE_WHATWATT, password=PASSWORD, interval=5),
    ]
