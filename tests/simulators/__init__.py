"""Simulated meter readers: real HTTP servers, true to the devices, with a house behind them."""

from .currentlyone import CurrentlyOneSimulator
from .house import House
from .whatwatt import WhatwattSimulator

__all__ = ["CurrentlyOneSimulator", "House", "WhatwattSimulator"]
