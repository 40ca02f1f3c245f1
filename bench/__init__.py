"""Costs of the integration: CPU time and rows of the database."""
