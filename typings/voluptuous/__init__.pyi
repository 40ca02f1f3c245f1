# Home Assistant aliases voluptuous to probatio when it starts; mypy needs the same.
from probatio import *  # noqa: F403
