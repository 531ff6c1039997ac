"""The worker process (data plane): runs one task at a time, `python -m openbell.execution.worker`."""
