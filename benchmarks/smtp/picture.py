"""The figures of a run as a picture: bars, written as SVG without a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.smtp.bounds import NEAR, THREADS
from benchmarks.smtp.report import Run

_WIDTH = 760
_LABELS = 300
_BAR, _GAP = 20, 8
_VALUES = 90

_OURS, _THEIRS = "#0b7a4b", "#9aa4ad"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    label: str
    value: float
    text: str
    is_ours: bool


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
    drawn: list[str] = []
    top = 24
    for title, bars in panels:
        drawn += _panel(title, bars, top)
        top += 26 + len(bars) * (_BAR + _GAP) + 22
    title = "Sending one mail of 4 kB by SMTP with STARTTLS and a login: Django and django-authmail"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img"'
            f' width="{_WIDTH}" height="{top}" font-family="system-ui, sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def _bar(key: str, label: str, value: float, form: str) -> _Bar:
    return _Bar(label=label, value=value, text=form.format(value), is_ours=key.startswith("ours"))


def _panel(title: str, bars: Sequence[_Bar], top: int) -> list[str]:
    longest = max(bar.value for bar in bars)
    scale = (_WIDTH - _LABELS - _VALUES) / longest
    lines = [_text(16, top + 6, title, weight="600")]
    for index, bar in enumerate(bars):
        y = top + 20 + index * (_BAR + _GAP)
        width = max(2.0, bar.value * scale)
        color = _OURS if bar.is_ours else _THEIRS
        lines += [
            _text(_LABELS - 10, y + 15, bar.label, anchor="end"),
            f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"'
            f' fill="{color}"/>',
            _text(_LABELS + width + 8, y + 15, bar.text, weight="600" if bar.is_ours else "400"),
        ]
    return lines


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}"'
        f' fill="#1b1f23">{escape(text)}</text>'
    )
