"""Work on its way to worker processes and back: chains, protocol, pool, executor, worker."""
