"""Deterministic synthetic bars with faults to inject."""
