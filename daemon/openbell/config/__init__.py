"""YAML or JSON to a validated `Deployment`; `openbell.config.load` is the way in."""
