"""Objects of the integration that a task, a timer or a listener still references."""

from collections import Counter
import gc
from typing import Final

from custom_components.energy_sse.coordinator import EnergySseCoordinator
from custom_components.energy_sse.entity import EnergySseEntity
from custom_components.energy_sse.power_tariff.tracker import DemandTracker
from custom_components.energy_sse.reader import Reader, ReaderConnection
from custom_components.energy_sse.statistics import StatisticsCorrector
from custom_components.energy_sse.store import EnergySseStore

_KINDS: Final = (
    DemandTracker,
    EnergySseCoordinator,
    EnergySseEntity,
    EnergySseStore,
    Reader,
    ReaderConnection,
    StatisticsCorrector,
)


def count_objects() -> Counter[str]:
    """Return the number of objects by class. The first call fills caches of Python."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects() if issubclass(type(each), _KINDS))
