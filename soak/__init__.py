"""Soak test: a long run of a real Home Assistant with random faults."""
