"""The shape of a graph: order, cycles. Pure, and linear in its edges but for the order's heap."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes, each after all that it needs, otherwise as written.

    Nodes on a cycle or behind one are left out; edges to unknown nodes are ignored.
    """
    names = list(needs)
    place = {name: index for index, name in enumerate(names)}
    readers: list[list[int]] = [[] for _ in names]
    open_count = [0] * len(names)
    for index, name in enumerate(names):
        for need in {need for need in needs[name] if need in place}:
            readers[place[need]].append(index)
            open_count[index] += 1
    ready = [index for index, count in enumerate(open_count) if count == 0]
    done: list[str] = []
    while ready:
        index = heapq.heappop(ready)
        done.append(names[index])
        for reader in readers[index]:
            open_count[reader] -= 1
            if open_count[reader] == 0:
                heapq.heappush(ready, reader)
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
    seen: dict[str, int] = {}
    node = next(iter(left))
    while node not in seen:
        seen[node] = len(seen)
        node = left[node][0]
    return list(seen)[seen[node] :]
