"""The daemon as a service: what systemd is told, what it hands over, signals, peers."""
