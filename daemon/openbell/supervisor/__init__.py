"""Actors and their supervisor: the only place where stages meet."""
