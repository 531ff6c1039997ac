"""Gates and verdicts: what the rules found, and what follows (data plane)."""
