"""Schedules at work: what is due becomes runs, each fire once and for ever."""
