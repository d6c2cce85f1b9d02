"""The figures of a run: as tables for people, as JSON for everything else."""

from __future__ import annotations

import os
import platform
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import django

import django_authmail
from benchmarks import verdicts
from benchmarks.smtp.bounds import FAR, NEAR, slope
from benchmarks.smtp.measure import Rate, Samples
from benchmarks.tables import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that one run found out."""

    #: Names of the variants for people.
    titles: Mapping[str, str]
    crowd_titles: Mapping[str, str]
    latencies: Mapping[float, Mapping[str, Samples]]
    crowds: Mapping[str, Rate]
    verdicts: Sequence[verdicts.Verdict]
    mail_octets: int
    ca_count: int
    #: CPU of loading the authorities once, in ms. Django does it for each new connection.
    ca_loading: float
    quick: bool
    seconds: float
    sent: int
    #: What the server counted, all its ports together.
    counts: Mapping[str, int]

    @property
    def taken(self) -> int:
        """How many mails the server took."""
        return self.counts["bdat"] + self.counts["data"]


def as_text(run: Run) -> str:
    """Return the tables."""
    return "\n".join(
        [
            _surroundings(run),
            "",
            "One mail: ms until send() is back, p50 / p95",
            _latency_table(run),
            *_disturbance(run),
            "",
            "One mail: client CPU in ms, p50 of the call that sends it / with rendering",
            _cpu_table(run),
            "",
            f"Several threads at {NEAR:g} ms RTT",
            _crowd_table(run),
            "",
            f"Bounds at {NEAR:g} ms RTT, STARTTLS, AUTH",
            verdicts.as_table(run.verdicts),
            "",
            _server_line(run),
        ]
    )


def as_json(run: Run) -> dict[str, Any]:
    """Return the figures as values that JSON has."""
    return {
        "benchmark": "smtp",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": run.quick,
        "seconds": round(run.seconds, 1),
        "versions": _versions(),
        "processors": os.cpu_count(),
        "mail_octets": run.mail_octets,
        "authorities": run.ca_count,
        "authorities_loading_cpu_ms": round(run.ca_loading, 2),
        "one_mail": [
            {
                "variant": key,
                "title": title,
                "slope_rtt": _rounded(_slope(run, key)),
                "at_rtt_ms": {
                    f"{rtt:g}": {
                        "mails": len(samples[key].wall),
                        "p50_ms": _rounded(samples[key].p50),
                        "p95_ms": _rounded(samples[key].p95),
                        "call_cpu_p50_ms": _rounded(samples[key].call_cpu_p50),
                        "cpu_p50_ms": _rounded(samples[key].cpu_p50),
                        "cpu_mean_ms": _rounded(samples[key].cpu_mean),
                    }
                    for rtt, samples in run.latencies.items()
                },
            }
            for key, title in run.titles.items()
        ],
        "threads": [
            {
                "variant": key,
                "title": title,
                "mails_per_second": _rounded(run.crowds[key].median),
                "cpu_ms_per_mail": _rounded(run.crowds[key].cpu_median),
            }
            for key, title in run.crowd_titles.items()
        ],
        "bounds": verdicts.as_json(run.verdicts),
        "sent": run.sent,
        "server": dict(run.counts),
    }


def _surroundings(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return (
        f"{versions}; {os.cpu_count()} processors; a mail of {run.mail_octets} octets; "
        f"{run.ca_count} authorities, loading them takes {run.ca_loading:.1f} ms of CPU"
        f"{'; a quick run, of few mails' if run.quick else ''}"
    )


def _versions() -> dict[str, str]:
    return {
        "django-authmail": django_authmail.__version__,
        "Django": django.get_version(),
        "Python": platform.python_version(),
        "OpenSSL": ".".join(map(str, ssl.OPENSSL_VERSION_INFO[:3])),
        platform.system(): platform.machine(),
    }


def _latency_table(run: Run) -> str:
    times = sorted(run.latencies)
    head = ["", *(f"{rtt:g} ms RTT" for rtt in times), "in RTT", "Django / it"]
    rows = []
    for key, title in run.titles.items():
        cells = [
            f"{run.latencies[r][key].p50:.1f} / {run.latencies[r][key].p95:.1f}" for r in times
        ]
        near = run.latencies[NEAR]
        times_faster = "" if key == "path" else f"{near['django-new'].p50 / near[key].p50:.1f}x"
        rows.append([title, *cells, f"{_slope(run, key):.2f}", times_faster])
    rows.append(["mails", *(_mails(run.latencies[rtt]) for rtt in times), "", ""])
    return table(head, rows)


def _disturbance(run: Run) -> list[str]:
    path = run.latencies[NEAR]["path"]
    if path.p95 <= NEAR + 1.5:
        return []
    return [
        f"The machine was busy: the path alone took {path.p50:.1f} / {path.p95:.1f} ms at "
        f"{NEAR:g} ms RTT. Compare with Django's figures of this run only, or repeat it."
    ]


def _mails(samples: Mapping[str, Samples]) -> str:
    counts = {len(one.wall) for one in samples.values()}
    return "..".join(map(str, sorted({min(counts), max(counts)})))


def _cpu_table(run: Run) -> str:
    times = sorted(run.latencies)
    head = ["", *(f"{rtt:g} ms RTT" for rtt in times), f"mean at {NEAR:g}", "Django / it"]
    samples = [run.latencies[rtt] for rtt in times]
    near = run.latencies[NEAR]
    rows = [
        [
            title,
            *(f"{one[key].call_cpu_p50:.2f} / {one[key].cpu_p50:.2f}" for one in samples),
            f"{near[key].cpu_mean:.2f}",
            f"{near['django-new'].call_cpu_p50 / near[key].call_cpu_p50:.1f}x"
            f" / {near['django-new'].cpu_p50 / near[key].cpu_p50:.1f}x",
        ]
        for key, title in run.titles.items()
        if key != "path"
    ]
    return table(head, rows)


def _crowd_table(run: Run) -> str:
    rows = [
        [title, f"{run.crowds[key].median:.0f}", f"{run.crowds[key].cpu_median:.2f}"]
        for key, title in run.crowd_titles.items()
    ]
    return table(["", "mails/s", "CPU ms/mail"], rows)


def _server_line(run: Run) -> str:
    agrees = "as many as were sent" if run.taken == run.sent else f"but {run.sent} WERE SENT"
    return (
        f"The server took {run.taken} mails, {agrees}: {run.counts['bdat']} by BDAT, "
        f"{run.counts['data']} by DATA, over {run.counts['connections']} connections; "
        f"{run.counts['refusals']} refusals. {run.seconds:.0f} s in all."
    )


def _slope(run: Run, key: str) -> float:
    assert {NEAR, FAR} <= run.latencies.keys()  # noqa: S101 - every run has these two
    return slope(run.latencies, key)


def _rounded(value: float) -> float:
    return round(value, 3)
