"""The graph that every peer runs: 10 layers of 20 nodes, each needing 2 of the layer above."""

from __future__ import annotations

LAYERS = 10
WIDTH = 20


def shape() -> list[tuple[str, list[str]]]:
    """Return (node, nodes it needs) in an order that respects every edge."""
    found = []
    for layer in range(LAYERS):
        for place in range(WIDTH):
            above = [f"n_{layer - 1}_{place}", f"n_{layer - 1}_{(place + 1) % WIDTH}"]
            found.append((f"n_{layer}_{place}", above if layer else []))
    return found
