"""Measurements whose tables and pictures are part of the documentation: scripts/measure."""
