"""Vendor quotas: budgets (pure) and the broker that hands requests out inside them."""
