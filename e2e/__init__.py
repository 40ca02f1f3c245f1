"""End-to-end tests: the tasks of a user in a real Home Assistant, a real browser and a real network."""
