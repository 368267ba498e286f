"""Measurements: one module for each, `run` to run them, `measure` for what they share."""
