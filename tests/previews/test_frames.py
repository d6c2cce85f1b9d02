"""A mail is shown as it looks to those who prefer one colour scheme."""

from __future__ import annotations

from dataclasses import replace

from django_authmail.message import Attachment, AuthMessage
from django_authmail.previews.frames import Scheme, html_page, text_page

MAIL = AuthMessage(
    to=("sample@example.com",),
    subject="<Subject>",
    text_body="a < b\n\n482901\n",
    html_body=(
        '<meta name="color-scheme" content="light dark"><style>:root { color-scheme: light dark; }'
        "@media (prefers-color-scheme: dark) { p { color: #fff } }"
        "@media (prefers-color-scheme:light) { p { color: #000 } }"
        "@media (max-width: 480px) { p { padding: 0 } }</style><p>x</p>"
    ),
    from_email="no-reply@example.com",
    locale="ko",
)


def test_the_question_for_the_scheme_is_answered_in_the_mail() -> None:
    assert html_page(MAIL, Scheme.DARK) == (
        '<meta name="color-scheme" content="dark"><style>:root { color-scheme: dark; }'
        "@media (min-width: 0) { p { color: #fff } }"
        "@media (max-width: 0) { p { color: #000 } }"
        "@media (max-width: 480px) { p { padding: 0 } }</style><p>x</p>"
    )
    assert "color-scheme: light;" in html_page(MAIL, Scheme.LIGHT)
    assert "@media (max-width: 0) { p { color: #fff } }" in html_page(MAIL, Scheme.LIGHT)


def test_the_pictures_of_a_mail_are_in_the_page() -> None:
    message = replace(
        MAIL,
        html_body='<img src="cid:logo" alt="Shop"><img src="cid:other" alt="">',
        attachments=(Attachment("logo.png", b"PNG", "image/png", content_id="logo"),),
    )
    page = html_page(message, Scheme.LIGHT)
    assert page == '<img src="data:image/png;base64,UE5H" alt="Shop"><img src="cid:other" alt="">'


def test_the_text_part_is_shown_as_it_is() -> None:
    page = text_page(MAIL)
    assert "<pre>a &lt; b\n\n482901\n</pre>" in page
    assert '<html lang="ko">' in page
    assert "<title>&lt;Subject&gt;</title>" in page
