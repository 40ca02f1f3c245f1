# Home Assistant replaces voluptuous by probatio when it starts. mypy needs the same replacement.
from probatio import *  # noqa: F403
