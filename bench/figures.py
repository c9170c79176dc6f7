"""Rounds in turn, medians, and goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def interleaved(rounds: int, variants: Mapping[K, Callable[[], T]]) -> dict[K, list[T]]:
    """What each variant gave in each round.

    All take their turn in every round, so that what slows the machine down for a while slows them all down.
    """
    results: dict[K, list[T]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, measure in variants.items():
            results[name].append(measure())
    return results


def median_ratio(values: list[float], baseline: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(value / base for value, base in zip(values, baseline, strict=True))


def spread(values: Sequence[float]) -> str:
    """Lowest and highest."""
    return f"{min(values):.2f}–{max(values):.2f}"


def goal(met: bool, words: str) -> str:
    """What stands behind a figure that has a goal."""
    return f"goal {words}: {'met' if met else 'MISSED'}"
