"""One run under way: its graph, its units, its end."""
