"""A package only for the tests; Home Assistant looks for the folder below."""
