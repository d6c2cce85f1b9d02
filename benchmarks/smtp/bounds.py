"""What the transport must reach, and whether a run did."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.smtp.measure import Rate, Samples
from benchmarks.verdicts import Verdict

#: The round trip time that the bounds are for, and the one that slopes are taken to. In ms.
NEAR, FAR = 20.0, 80.0
THREADS = 8

#: What was measured: RTT to variant to samples.
Latencies = Mapping[float, Mapping[str, Samples]]


def slope(latencies: Latencies, key: str) -> float:
    """Return how many round trips one mail takes, free of what does not depend on the path."""
    return (latencies[FAR][key].p50 - latencies[NEAR][key].p50) / (FAR - NEAR)


def verdicts(latencies: Latencies, crowds: Mapping[str, Rate]) -> list[Verdict]:
    """Return every figure that has a bound: at 20 ms RTT, with STARTTLS and a login."""
    near = latencies[NEAR]
    django = near["django-new"]
    found: list[Verdict] = []
    for call, key in (("send()", "ours-send"), ("deliver_message()", "ours-rendered")):
        for server, trips, extra in (("chunking", 1, 2.0), ("pipelining", 2, 3.0)):
            found += [
                Verdict(
                    what=f"warm {call}, {server}: p50",
                    value=near[f"{key}-{server}"].p50,
                    bound=trips * NEAR + extra,
                    unit="ms",
                ),
                Verdict(
                    what=f"warm {call}, {server}: slope {NEAR:g} to {FAR:g} ms",
                    value=slope(latencies, f"{key}-{server}"),
                    bound=trips + 0.05,
                    unit="RTT",
                ),
            ]
        found.append(
            Verdict(
                what=f"Django's send() / warm {call}: time",
                value=django.p50 / near[f"{key}-chunking"].p50,
                bound=10,
                unit="x",
                at_most=False,
            )
        )
    found += [
        Verdict(
            what=f"cold, forced, {port}: p50",
            value=near[f"cold-{port}"].p50,
            bound=trips * NEAR + 15,
            unit="ms",
        )
        for port, trips in (("587", 8), ("465", 6))
    ]
    ours = near["ours-rendered-chunking"]
    found += [
        Verdict(
            what=f"Django's send() / our rendered mail: client CPU, {part}",
            value=value,
            bound=40,
            unit="x",
            at_most=False,
        )
        for part, value in (
            ("the call", django.call_cpu_p50 / ours.call_cpu_p50),
            ("and rendering", django.cpu_p50 / ours.cpu_p50),
        )
    ]
    found += [
        Verdict(
            what=f"{THREADS} threads, {call}",
            value=crowds[key].median,
            bound=250,
            unit="mails/s",
            at_most=False,
        )
        for call, key in (("send()", "ours-send"), ("deliver_message()", "ours-rendered"))
    ]
    return found
