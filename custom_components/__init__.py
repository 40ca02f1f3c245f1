"""Package for the tests. Home Assistant loads only the folder in it."""
