"""Control nodes: what the daemon answers itself, one small module an operator."""
