"""Everything that code of others can do wrong, and where it stands in a pipeline."""
