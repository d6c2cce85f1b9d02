"""The figures of a run as a picture: bars, written as SVG without a library."""

from __future__ import annotations

from benchmarks.bars import Bar, svg
from benchmarks.smtp.bounds import NEAR, THREADS
from benchmarks.smtp.report import Run


def as_svg(run: Run) -> str:
    """Return the picture: time of one mail, client CPU of one mail, mails per second."""
    near = run.latencies[NEAR]
    shown = (
        ("django-new", "Django: new connection per mail"),
        ("django-open", "Django: one open connection"),
        ("ours-send-pipelining", "ours, send(), PIPELINING only"),
        ("ours-send-chunking", "ours, send()"),
        ("ours-rendered-chunking", "ours, deliver_message()"),
    )
    crowds = (
        ("django-new", "Django: new connection per mail"),
        ("django-open", "Django: an open connection each"),
        ("ours-send", "ours, send()"),
        ("ours-rendered", "ours, deliver_message()"),
    )
    panels = [
        (
            f"One mail at {NEAR:g} ms round trip, until the call is back (ms, less is better)",
            [_bar(key, label, near[key].p50, "{:.1f} ms") for key, label in shown],
        ),
        (
            "Client CPU of the call that sends it (ms, less is better)",
            [_bar(key, label, near[key].call_cpu_p50, "{:.2f} ms") for key, label in shown],
        ),
        (
            f"{THREADS} threads at {NEAR:g} ms round trip (mails/s, more is better)",
            [_bar(key, label, run.crowds[key].median, "{:.0f} /s") for key, label in crowds],
        ),
    ]
    title = "Sending one mail of 4 kB by SMTP with STARTTLS and a login: Django and django-authmail"
    return svg(title, panels)


def _bar(key: str, label: str, value: float, form: str) -> Bar:
    return Bar(label=label, value=value, text=form.format(value), is_ours=key.startswith("ours"))
