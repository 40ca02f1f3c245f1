"""Simulated readers: HTTP servers with the protocols of the devices, and a simulated house."""

from collections.abc import Mapping
from typing import Final

from .currentlyone import CurrentlyOneSimulator
from .house import House
from .server import Simulator
from .whatwatt import WhatwattSimulator

__all__ = ["SIMULATORS", "CurrentlyOneSimulator", "House", "Simulator", "WhatwattSimulator"]

SIMULATORS: Final[Mapping[str, type[Simulator]]] = {
    simulator.kind: simulator for simulator in (WhatwattSimulator, CurrentlyOneSimulator)
}
"""Simulator of each kind of reader. Fixtures get their parameters from here."""
