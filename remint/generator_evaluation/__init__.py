"""A generator measured: distances, classes and pictures."""
