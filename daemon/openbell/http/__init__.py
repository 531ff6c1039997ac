"""The API: FastAPI on hypercorn, over a Unix socket and, when configured, TCP."""
