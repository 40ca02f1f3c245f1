"""What the long-term statistics lack: hours that nobody heard, and sums that started again.

To write them takes more of Home Assistant's recorder than it promises to keep. So this room has one door:
what is in it is imported here, when it is wanted, and nowhere else. A Home Assistant whose recorder has
changed costs the hours, and none of the readings.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.util.event_type import EventType
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN
from ..coordinator import EnergySseConfigEntry, EnergySseCoordinator
from ..reader import trace_of

if TYPE_CHECKING:
    from .totals import Recorded

_LOGGER = logging.getLogger(__name__)


# Sent when sums were raised: hours that did not fit may fit now.
SIGNAL_SUMS_RAISED: Final = f"{DOMAIN}_sums_raised"

# Sent when hours were filled: whoever counts hours counts them anew.
SIGNAL_HOURS_FILLED: Final = f"{DOMAIN}_hours_filled"


class Reader(Protocol):
    """Reads from the recorder."""

    async def __call__[*Ts, T](
        self, hass: HomeAssistant, read: Callable[[HomeAssistant, *Ts], T], *args: *Ts
    ) -> T | None:
        """Return what a function reads in one of the recorder's threads. None when Home Assistant stops."""


class Room(NamedTuple):
    """What is behind the door."""

    fill: Callable[[HomeAssistant, EnergySseConfigEntry, EnergySseCoordinator], None]
    """Fills hours until the entry is unloaded. Has to listen before the reader says its first word."""

    watch: tuple[Callable[[HomeAssistant, EnergySseConfigEntry], None], ...]
    """What looks after the statistics of an entry that is set up, until it is unloaded."""

    raise_sums: Callable[[HomeAssistant, str, datetime], Awaitable[bool]]
    """Raises the sums of a statistic since a restart that is still there. Returns whether it is gone now."""

    compiled: EventType[Any] | str
    """The event after every five minutes that the recorder has compiled."""

    is_recorded: Callable[[HomeAssistant, str], bool]
    """Tells whether the recorder keeps an entity."""

    read: Reader
    """Reads once the recorder has committed its queue."""

    read_recorded: Callable[..., Recorded]
    """Reads totals of energy, in one of the recorder's threads."""


_ROOM: Final[HassKey[Room | None]] = HassKey(f"{DOMAIN}_backfill")


async def async_enter(hass: HomeAssistant) -> Room | None:
    """Return the room; None where the recorder of this Home Assistant is not the one that it knows."""
    if _ROOM not in hass.data:
        room = await hass.async_add_import_executor_job(_open)
        hass.data.setdefault(_ROOM, room)
    return hass.data[_ROOM]


def _open() -> Room | None:
    try:
        from homeassistant.components.recorder import is_entity_recorded  # noqa: PLC0415 (the door)
        from homeassistant.const import EVENT_RECORDER_5MIN_STATISTICS_GENERATED  # noqa: PLC0415 (the door)

        from . import missed_hours, recorder, sub_meter_statistics, sum_restart, totals  # noqa: PLC0415 (the door)
    except Exception as fault:  # noqa: BLE001 (it is said)
        _LOGGER.error(  # noqa: TRY400 (its texts stay out of the log)
            "Hours that were missed cannot be filled with Home Assistant %s: %s", __version__, trace_of(fault)
        )
        return None
    return Room(
        fill=missed_hours.async_fill,
        watch=(sum_restart.async_watch, sub_meter_statistics.async_watch),
        raise_sums=sum_restart.async_raise_sums,
        compiled=EVENT_RECORDER_5MIN_STATISTICS_GENERATED,
        is_recorded=is_entity_recorded,
        read=recorder.async_read,
        read_recorded=totals.read_recorded,
    )
