"""A long run with faults that come at random, against a real Home Assistant."""
