"""Components and shortest ways in a directed graph; nothing here recurses."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

N = TypeVar("N", bound=Hashable)
T = TypeVar("T")


def components(arcs: Mapping[N, Sequence[tuple[N, T]]]) -> list[list[N]]:
    """The strongly connected components (Tarjan's), each after all that it leads to."""
    found: list[list[N]] = []
    number: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: list[N] = []
    on_stack: set[N] = set()
    for root in arcs:
        if root in number:
            continue
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(arcs[root]))]
        while work:
            node, rest = work[-1]
            for target, _ in rest:
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(arcs.get(target, ()))))
                    break
                if target in on_stack and number[target] < low[node]:
                    low[node] = number[target]
            else:
                work.pop()
                if work and low[node] < low[work[-1][0]]:
                    low[work[-1][0]] = low[node]
                if low[node] == number[node]:
                    at = _last(stack, node)
                    found.append(stack[at:])
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
    return found


def _last(stack: list[N], node: N) -> int:
    at = len(stack) - 1
    while stack[at] != node:
        at -= 1
    return at


def reachable(arcs: Mapping[N, Sequence[tuple[N, T]]], starts: Iterable[N]) -> set[N]:
    """Every node that is one of `starts` or comes after one."""
    seen = set(starts)
    work = list(seen)
    while work:
        for target, _ in arcs.get(work.pop(), ()):
            if target not in seen:
                seen.add(target)
                work.append(target)
    return seen


def shortest(
    arcs: Mapping[N, Sequence[tuple[N, T]]], start: N, goal: Callable[[N], bool], empty: bool = True
) -> list[tuple[N, T, N]] | None:
    """A shortest way from `start` to a goal, as (from, what stands there, to); without `empty`, of one hop or more."""
    if empty and goal(start):
        return []
    came: dict[N, tuple[N, T]] = {}
    work = deque([start])
    while work:
        node = work.popleft()
        for target, what in arcs.get(node, ()):
            if goal(target):
                return [*_back(came, start, node), (node, what, target)]
            if target not in came and target != start:
                came[target] = (node, what)
                work.append(target)
    return None


def _back(came: Mapping[N, tuple[N, T]], start: N, node: N) -> list[tuple[N, T, N]]:
    way: list[tuple[N, T, N]] = []
    while node != start:
        before, what = came[node]
        way.append((before, what, node))
        node = before
    return way[::-1]
