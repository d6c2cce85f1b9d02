"""Figures as a picture: bars, written as SVG without a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 760
_LABELS = 300
_BAR, _GAP = 20, 8
_VALUES = 90

_OURS, _THEIRS = "#0b7a4b", "#9aa4ad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One value and what stands beside it."""

    label: str
    value: float
    text: str
    is_ours: bool


def svg(title: str, panels: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Return a picture of panels, each a headline and its bars, to one scale in each."""
    drawn: list[str] = []
    top = 24
    for headline, bars in panels:
        drawn += _panel(headline, bars, top)
        top += 26 + len(bars) * (_BAR + _GAP) + 22
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


def _panel(title: str, bars: Sequence[Bar], top: int) -> list[str]:
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
