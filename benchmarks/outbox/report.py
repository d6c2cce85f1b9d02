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
from benchmarks.bars import Bar, svg
from benchmarks.outbox.bounds import PILED, Costs, Drained
from benchmarks.tables import table

TITLES = {
    "django": "Django: a loop of send_mail()",
    "django-clear": "Django: the same without TLS and login",
    "mailer": "django-mailer: send_mail command",
    "post-office": "django-post-office: send_queued_mail",
    "ours": "ours: authmail_dispatch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that one run found out."""

    drained: Mapping[str, Drained]
    #: Commit to the beginning of the hand-over, in ms.
    waits: Sequence[float]
    #: What submit, claim and settle cost without old rows, and with so many.
    empty: Costs
    aged: Costs
    old_rows: int
    #: The same while so many mails of low priority are due.
    piled: Costs
    due: int
    #: Rows deleted from among them, by what they are, and the seconds that it took.
    purged: Mapping[str, int]
    purge_seconds: float
    verdicts: Sequence[verdicts.Verdict]
    postgresql: str
    peers: Sequence[str]
    mails: int
    taken: int
    seconds: float
    quick: bool


def as_text(run: Run) -> str:
    """Return the tables."""
    base = run.drained["django"].median
    return "\n".join(
        [
            f"django-authmail {django_authmail.__version__}, Django {django.get_version()}, "
            f"Python {platform.python_version()}, {run.postgresql}, {platform.system()} "
            f"{platform.machine()}; {os.cpu_count()} processors; {', '.join(run.peers)}",
            "",
            "One process sends what is queued, to a server that takes each mail at once",
            table(
                ("", "mails/s", "of the rounds", "CPU ms/mail", "queued/s", "to Django"),
                [
                    (
                        TITLES[name],
                        f"{one.median:.0f}",
                        f"{min(one.mails_per_second):.0f}..{max(one.mails_per_second):.0f}",
                        f"{one.cpu_median:.2f}",
                        _queued(name, one),
                        f"{one.median / base:.1f}x",
                    )
                    for name, one in ((name, run.drained[name]) for name in TITLES)
                ],
            ),
            "",
            "Commit to the beginning of the hand-over by authmail_dispatch, ms",
            table(
                ("mails", "p50", "p95", "longest"),
                [
                    (
                        str(len(run.waits)),
                        f"{statistics.median(run.waits):.0f}",
                        f"{verdicts.percentile(run.waits, 0.95):.0f}",
                        f"{max(run.waits):.0f}",
                    )
                ],
            ),
            "",
            f"One mail, ms p50, with 0 and with {run.old_rows:,} final messages in the table",
            table(
                ("", "0", f"{run.old_rows:,}", "ratio"),
                [
                    (
                        name,
                        f"{statistics.median(run.empty[name]):.2f}",
                        f"{statistics.median(run.aged[name]):.2f}",
                        f"{_ratio(run.aged[name], run.empty[name]):.2f}x",
                    )
                    for name in run.empty
                ],
            ),
            "",
            f"One urgent mail, ms p50, while {run.due:,} others are due, with those final messages",
            table(
                ("", "none due", f"{run.due:,} due", "ratio"),
                [
                    (
                        name,
                        f"{statistics.median(run.empty[like]):.2f}",
                        f"{statistics.median(run.piled[name]):.2f}",
                        f"{_ratio(run.piled[name], run.empty[like]):.2f}x",
                    )
                    for name, like in PILED.items()
                ],
            ),
            "",
            f"Purged from among them in {run.purge_seconds:.1f} s: "
            + ", ".join(f"{count:,} {name}" for name, count in run.purged.items()),
            "",
            "Bounds",
            verdicts.as_table(run.verdicts),
            "",
            f"The server took {run.taken} mails of {run.mails} that were sent. "
            f"{run.seconds:.0f} s in all.",
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
            "peers": list(run.peers),
        },
        "machine": {"system": platform.system(), "processors": os.cpu_count()},
        "drain": {
            name: {
                "mails_per_second": _rounded(one.mails_per_second),
                "cpu_ms": _rounded(one.cpu),
                "queued_per_second": _rounded(one.queued_per_second),
            }
            for name, one in run.drained.items()
        },
        "commit_to_start_ms": _rounded(run.waits),
        "cost_ms": {
            "0": {name: _rounded(values) for name, values in run.empty.items()},
            str(run.old_rows): {name: _rounded(values) for name, values in run.aged.items()},
            f"{run.due} due": {name: _rounded(values) for name, values in run.piled.items()},
        },
        "purged": {"seconds": round(run.purge_seconds, 3), **run.purged},
        "bounds": verdicts.as_json(run.verdicts),
    }


def as_svg(run: Run) -> str:
    """Return the picture: mails per second, CPU for each, and what old rows cost."""
    return svg(
        "Sending queued mail from PostgreSQL: this package, its peers, and Django's send_mail",
        [
            (
                "One process, a server that takes each mail at once (mails/s, more is better)",
                [_bar(name, run.drained[name].median, "{:.0f} /s") for name in TITLES],
            ),
            (
                "CPU of that process (ms for each mail, less is better)",
                [_bar(name, run.drained[name].cpu_median, "{:.2f} ms") for name in TITLES],
            ),
            (
                f"With {run.old_rows:,} old messages, to none (times, less is better)",
                [
                    Bar(
                        label=name,
                        value=_ratio(run.aged[name], run.empty[name]),
                        text=f"{_ratio(run.aged[name], run.empty[name]):.2f}x",
                        is_ours=True,
                    )
                    for name in run.empty
                ],
            ),
        ],
    )


def _bar(name: str, value: float, form: str) -> Bar:
    return Bar(label=TITLES[name], value=value, text=form.format(value), is_ours=name == "ours")


def _queued(name: str, one: Drained) -> str:
    # Django's loop has no queue.
    has_queue = not name.startswith("django")
    return f"{statistics.median(one.queued_per_second):.0f}" if has_queue else "-"


def _ratio(some: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(some) / statistics.median(others)


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]
