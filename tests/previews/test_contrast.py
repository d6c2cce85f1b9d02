"""Which colours of a mail are judged, and how."""

from __future__ import annotations

import pytest

from django_authmail.previews.contrast import contrast, too_weak

DARK = (
    "<style>.a { color: #777777; } @media (prefers-color-scheme: dark) "
    "{ .card { background-color: #222222 !important; } "
    ".soft, p.weak { color: #555555 !important; } }</style>"
)


def pairs(html: str) -> list[tuple[str, str, str]]:
    return [(weak.scheme, weak.text, weak.ground) for weak in too_weak(html)]


def test_black_on_white_is_the_strongest() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#ffffff") == pytest.approx(1)


@pytest.mark.parametrize(
    ("html", "found"),
    [
        pytest.param("<p>x</p>", [], id="no colours at all"),
        pytest.param('<p style="color: #767676">x</p>', [], id="the weakest that is allowed"),
        pytest.param(
            '<p style="color: #777777">x</p>', [("light", "#777777", "#ffffff")], id="just too weak"
        ),
        pytest.param('<p style="color: #777777"> \n </p>', [], id="no text"),
        pytest.param('<p style="color: #777777; font-size: 24px">x</p>', [], id="large"),
        pytest.param(
            '<p style="color: #777777; font-size: 19px; font-weight: 700">x</p>', [], id="bold"
        ),
        pytest.param(
            '<p style="font-size: 19px; color: #777777"><b>x</b></p>', [], id="bold inside"
        ),
        pytest.param(
            '<td style="background-color: #eeeeee"><p style="color: #767676">x</p></td>',
            [("light", "#767676", "#eeeeee")],
            id="on the ground around it",
        ),
        pytest.param(
            '<td style="background: #1d4ed8"><a style="color: #FFFFFF">x</a></td>',
            [],
            id="a button",
        ),
        pytest.param(
            '<td style="background-color: #1d4ed8"><a href="x">x</a></td>',
            [("light", "#0000ee", "#1d4ed8")],
            id="a link in its own colour",
        ),
        pytest.param(
            '<div style="display: none; color: #ffffff">x</div>', [], id="what nobody sees"
        ),
        pytest.param('<p style="color: gray">x</p>', [], id="a colour that is not judged"),
        pytest.param(
            '<p style="color: #ffffff">x<br>y</p><p>z</p>',
            [("light", "#ffffff", "#ffffff")],
            id="until its end",
        ),
        pytest.param(
            DARK + '<td class="card"><p class="soft" style="color: #333333">x</p></td>',
            [("dark", "#555555", "#222222")],
            id="in the dark",
        ),
        pytest.param(
            DARK + '<td class="card"><p class="other weak" style="color: #333333">x</p></td>',
            [("dark", "#555555", "#222222")],
            id="in the dark, by one of its classes",
        ),
        pytest.param(
            DARK + '<td class="card">x</td>', [], id="in the dark, text of the program's own"
        ),
    ],
)
def test_finds(html: str, found: list[tuple[str, str, str]]) -> None:
    assert pairs(html) == found
