"""Stand-ins that several tiers of tests share."""
