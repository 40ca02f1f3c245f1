"""What the integration costs, against what people would use instead and against the floor."""

# First of all: Home Assistant lends its own httpx by that name to whatever imports it, as httpx-sse does.
import homeassistant  # noqa: F401
