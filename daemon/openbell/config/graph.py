"""The shape of a pipeline: order, cycles, edges that lead nowhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes, each after all that it needs, otherwise as written.

    Nodes on a cycle or behind one are left out; edges to unknown nodes are ignored.
    """
    done: list[str] = []
    waiting = {name: {need for need in before if need in needs} for name, before in needs.items()}
    while waiting:
        ready = [name for name, before in waiting.items() if before <= set(done)]
        if not ready:
            break
        done.append(ready[0])
        del waiting[ready[0]]
    return done


def cycle(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes of one cycle, in order of need, or nothing when there is none."""
    ordered = set(in_order(needs))
    left = {
        name: [need for need in before if need in needs and need not in ordered]
        for name, before in needs.items()
        if name not in ordered
    }
    if not left:
        return []
    seen: list[str] = []
    node = next(iter(left))
    while node not in seen:
        seen.append(node)
        node = left[node][0]
    return seen[seen.index(node) :]
