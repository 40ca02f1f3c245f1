# Home Assistant aliases voluptuous to probatio when it starts; this tells mypy the same.
from probatio import *  # noqa: F403
