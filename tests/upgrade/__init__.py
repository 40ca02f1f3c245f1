"""Installations of released versions, and the home that made them."""
