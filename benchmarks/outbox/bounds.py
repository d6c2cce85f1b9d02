"""What the outbox must reach, and whether a run did."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.verdicts import Verdict, percentile


@dataclass(slots=True)
class Drained:
    """What one way to send reached, in each of its rounds."""

    mails_per_second: list[float] = field(default_factory=list)
    #: Of the sending process, in ms for each mail.
    cpu: list[float] = field(default_factory=list)
    #: Mails queued in a second, before.
    queued_per_second: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.mails_per_second)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)


#: Of submit, claim and settle: ms for each mail.
Costs = Mapping[str, Sequence[float]]


#: What is asked while many mails are due, and what it is like without them.
PILED = {
    "submit": "submit",
    "claim": "claim",
    "settle": "settle",
    "claim one of them": "claim",
}


def verdicts(
    drained: Mapping[str, Drained],
    waits: Sequence[float],
    empty: Costs,
    aged: Costs,
    piled: Costs,
) -> list[Verdict]:
    """Return every figure that has a bound."""
    ours = drained["ours"].median
    found = [
        Verdict(
            what="drained by one process", value=ours, bound=1000, unit="mails/s", at_most=False
        ),
        Verdict(
            what="ours / a loop of Django's send_mail",
            value=ours / drained["django"].median,
            bound=8,
            unit="x",
            at_most=False,
        ),
    ]
    found += [
        Verdict(
            what=f"ours / {name}",
            value=ours / drained[name].median,
            bound=1,
            unit="x",
            at_most=False,
        )
        for name in ("post-office", "mailer")
    ]
    found.append(
        Verdict(
            what="commit to the beginning of the hand-over, p95",
            value=percentile(waits, 0.95),
            bound=300,
            unit="ms",
        )
    )
    found += [
        Verdict(
            what=f"{name} with many old rows / with none",
            value=statistics.median(aged[name]) / statistics.median(empty[name]),
            bound=1.5,
            unit="x",
        )
        for name in empty
    ]
    found += [
        Verdict(
            what=f"{name} with many due / with none",
            value=statistics.median(piled[name]) / statistics.median(empty[like]),
            bound=1.5,
            unit="x",
        )
        for name, like in PILED.items()
    ]
    return found
