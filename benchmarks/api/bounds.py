"""What the HTTP API must reach, and whether a run did."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.verdicts import Verdict, percentile

#: Round trip time to the mail server, in ms.
RTT = 20.0


def verdicts(
    waits: Mapping[str, Sequence[float]], rates: Mapping[str, Sequence[float]]
) -> list[Verdict]:
    """Return every figure that has a bound."""
    now = waits["now_250"]
    p50 = statistics.median(now)
    accepted = statistics.median(rates["background"]) / statistics.median(rates["empty"])
    naive = statistics.median(waits["naive_250"]) / p50
    return [
        Verdict(what="POST to the server's 250: p50", value=p50, bound=RTT + 10, unit="ms"),
        Verdict(
            what="POST to the server's 250: p95",
            value=percentile(now, 0.95),
            bound=RTT + 20,
            unit="ms",
        ),
        Verdict(
            what="send_mail() in a view to its 250 / the same",
            value=naive,
            bound=8,
            unit="x",
            at_most=False,
        ),
        Verdict(
            what="in the background: p50",
            value=statistics.median(waits["background"]),
            bound=8,
            unit="ms",
        ),
        Verdict(
            what="requests/s taken on / of an empty view",
            value=accepted,
            bound=0.25,
            unit="x",
            at_most=False,
        ),
    ]
