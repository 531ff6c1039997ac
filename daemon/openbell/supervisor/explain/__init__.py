"""Why work did not run, from what is on record and what holds now."""
