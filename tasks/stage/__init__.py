"""The frame of a stage: parameters, console, errors and JSON."""
