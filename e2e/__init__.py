"""A walk through everything a user touches: a real Home Assistant, a real browser, a real network."""
