"""A real Home Assistant with the integration, and simulated readers for it."""
