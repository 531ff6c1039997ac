"""The lake: a Delta table in two levels, every bar exactly once."""
