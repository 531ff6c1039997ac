"""Templates for tests, as a plugin would bring them."""
