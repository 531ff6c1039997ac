"""What the daemon tells about itself: log records, metrics, spans, all made from events."""
