"""Figures against their bounds: as a table for people, as JSON for everything else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.tables import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One figure against its bound."""

    what: str
    value: float
    bound: float
    unit: str
    at_most: bool = True

    @property
    def is_met(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def relation(self) -> str:
        return "<=" if self.at_most else ">="


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest rank: no value between two that were measured."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def as_table(verdicts: Sequence[Verdict]) -> str:
    """Return a line for each, with `met` or `NOT MET`."""
    rows = [
        [
            one.what,
            f"{one.value:.2f}",
            f"{one.relation} {one.bound:g} {one.unit}",
            "met" if one.is_met else "NOT MET",
        ]
        for one in verdicts
    ]
    return table(["", "figure", "bound", ""], rows)


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the same as values."""
    return [
        {
            "what": one.what,
            "value": round(one.value, 3),
            "bound": one.bound,
            "relation": one.relation,
            "unit": one.unit,
            "met": one.is_met,
        }
        for one in verdicts
    ]
