"""Sessions of every calendar, as compact tables that the control plane can afford."""
