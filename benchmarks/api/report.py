"""The figures of a run: as tables for people, as JSON and a picture for everything else."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import django

import django_authmail
from benchmarks import verdicts
from benchmarks.api.bounds import RTT
from benchmarks.bars import Bar, svg
from benchmarks.tables import table

#: What is measured of single requests, in the order of the table.
TITLES = {
    "naive_250": "send_mail() in a view: to the 250",
    "naive": "send_mail() in a view: to the answer",
    "now_250": "POST /send/otp, sent now: to the 250",
    "now": "POST /send/otp, sent now: to the answer",
    "background": "POST /send/otp, in the background",
    "statements": "the same statements by hand",
    "row": "a view that commits one row",
    "empty": "an empty view",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that one run found out."""

    #: Of single requests, in ms.
    waits: Mapping[str, Sequence[float]]
    #: Requests in a second, of each round.
    rates: Mapping[str, Sequence[float]]
    verdicts: Sequence[verdicts.Verdict]
    postgresql: str
    cache: str
    sent: int
    taken: int
    seconds: float
    quick: bool


def as_text(run: Run) -> str:
    """Return the tables."""
    base = {
        name: statistics.median(run.waits["naive_250" if name.endswith("_250") else "naive"])
        for name in TITLES
    }
    return "\n".join(
        [
            f"django-authmail {django_authmail.__version__}, Django {django.get_version()}, "
            f"Python {platform.python_version()}, {run.postgresql}, {run.cache}, "
            f"{platform.system()} {platform.machine()}; {os.cpu_count()} processors",
            "",
            f"One request, ms; gunicorn with 2 workers, the mail server {RTT:g} ms away",
            table(
                ("", "p50", "p95", "longest", "send_mail() / it"),
                [
                    (
                        title,
                        f"{statistics.median(run.waits[name]):.1f}",
                        f"{verdicts.percentile(run.waits[name], 0.95):.1f}",
                        f"{max(run.waits[name]):.1f}",
                        f"{base[name] / statistics.median(run.waits[name]):.1f}x",
                    )
                    for name, title in TITLES.items()
                ],
            ),
            "",
            "Requests in a second, of 8 clients",
            table(
                ("", "requests/s", "of the rounds"),
                [
                    (
                        TITLES[name],
                        f"{statistics.median(rates):.0f}",
                        f"{min(rates):.0f}..{max(rates):.0f}",
                    )
                    for name, rates in run.rates.items()
                ],
            ),
            "",
            "Bounds",
            verdicts.as_table(run.verdicts),
            "",
            f"The mail server took {run.taken} mails of {run.sent} that were sent now or in a "
            f"view. {run.seconds:.0f} s in all.",
        ]
    )


def as_json(run: Run) -> dict[str, Any]:
    """Return all figures, each sample of them."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": run.quick,
        "versions": {
            "django_authmail": django_authmail.__version__,
            "django": django.get_version(),
            "python": platform.python_version(),
            "postgresql": run.postgresql,
        },
        "cache": run.cache,
        "machine": {"system": platform.system(), "processors": os.cpu_count()},
        "rtt_ms": RTT,
        "waits_ms": {name: [round(one, 3) for one in waits] for name, waits in run.waits.items()},
        "requests_per_second": dict(run.rates),
        "bounds": verdicts.as_json(run.verdicts),
    }


def as_svg(run: Run) -> str:
    """Return the picture."""
    return svg(
        "The HTTP API beside send_mail() in a view",
        [
            (
                f"ms, p50, the mail server {RTT:g} ms away",
                [
                    Bar(
                        label=title,
                        value=statistics.median(run.waits[name]),
                        text=f"{statistics.median(run.waits[name]):.1f} ms",
                        is_ours=name.startswith(("now", "background")),
                    )
                    for name, title in TITLES.items()
                ],
            ),
            (
                "requests in a second, 8 clients",
                [
                    Bar(
                        label=TITLES[name],
                        value=statistics.median(rates),
                        text=f"{statistics.median(rates):.0f} /s",
                        is_ours=name == "background",
                    )
                    for name, rates in run.rates.items()
                ],
            ),
        ],
    )
