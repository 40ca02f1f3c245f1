"""Measurements that write tables and pictures into the documentation: scripts/measure."""
