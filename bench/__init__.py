"""Benchmarks of the integration: CPU time, and rows in the database."""
