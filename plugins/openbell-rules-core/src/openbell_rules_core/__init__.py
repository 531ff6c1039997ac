"""The core data quality rules."""
