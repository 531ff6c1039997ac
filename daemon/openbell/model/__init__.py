"""Frozen values: pipelines, runs, events, ids. Pure: no clock, no I/O, no chance."""
