"""The demo's inbox: the mails that the sink kept, as the person who gets them would see them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.timezone import is_naive, make_aware
from django.views.decorators.clickjacking import xframe_options_sameorigin

from example_project.pages import page, reading

LIST_LENGTH = 200
SNIPPET_LENGTH = 120
#: A sink's file name, and nothing that could lead out of its folder.
NAME = re.compile(r"[0-9A-Za-z-]{1,64}")

# A mail is somebody else's HTML: no script, no request to anywhere, no way out of its frame.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'; sandbox"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail, read for people."""

    name: str
    sender: str
    sender_address: str
    recipients: list[str]
    subject: str
    sent_at: datetime | None
    text: str
    html: str
    source: str

    @property
    def initial(self) -> str:
        return next(iter(self.recipients), "?")[:1].upper()

    @property
    def snippet(self) -> str:
        return " ".join(self.text.split())[:SNIPPET_LENGTH]


def read_mail(file: Path) -> Mail:
    """Read one of the sink's files."""
    content = file.read_bytes()
    message = BytesParser(policy=policy.default).parsebytes(content)
    senders = getattr(message["From"], "addresses", ())
    sent_at = getattr(message["Date"], "datetime", None)
    if sent_at is not None and is_naive(sent_at):
        sent_at = make_aware(sent_at)
    return Mail(
        name=file.stem,
        sender=senders[0].display_name if senders else "",
        sender_address=senders[0].addr_spec if senders else str(message["From"] or ""),
        recipients=[str(a) for a in getattr(message["To"], "addresses", ())],
        subject=str(message["Subject"] or ""),
        sent_at=sent_at,
        text=_part(message, "plain"),
        html=_part(message, "html"),
        source=content.decode("utf-8", "replace"),
    )


def newest_mails() -> list[Mail]:
    """Return the last mails that arrived, newest first."""
    return [read_mail(file) for file in _files()[:LIST_LENGTH]]


def _files() -> list[Path]:
    # The sink names its files by the time of arrival.
    return sorted(_folder().glob("*.eml"), reverse=True)


def _folder() -> Path:
    if settings.DEMO_INBOX_DIR is None:
        raise Http404("there is no inbox without DEMO_INBOX_DIR")
    return settings.DEMO_INBOX_DIR


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # an unknown charset
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _find(name: str) -> Mail:
    file = _folder() / f"{name}.eml"
    if not NAME.fullmatch(name) or not file.is_file():
        raise Http404("no such mail")
    return read_mail(file)


@reading
def show(request: HttpRequest, name: str = "", tab: str = "") -> HttpResponse:
    """Show the list, and one mail beside it: the chosen one, else the newest."""
    mails = newest_mails()
    chosen = _find(name) if name else next(iter(mails), None)
    tabs = [kind for kind in ("html", "text") if chosen and getattr(chosen, kind)] + ["source"]
    if tab and tab not in tabs:
        raise Http404("no such part")
    return page(
        request,
        "example_project/inbox.html",
        {
            "mails": mails,
            "chosen": chosen,
            "is_chosen": bool(name),
            "tabs": tabs,
            "tab": tab or tabs[0],
        },
    )


@reading
@xframe_options_sameorigin
def show_html(request: HttpRequest, name: str) -> HttpResponse:
    """Show the HTML part of a mail, in a frame of the page."""
    return HttpResponse(_find(name).html, headers={"Content-Security-Policy": MAIL_POLICY})


@reading
def download(request: HttpRequest, name: str) -> HttpResponse:
    """Return the mail as the sink got it, for a mail program."""
    source = _find(name).source
    return HttpResponse(
        source,
        content_type="message/rfc822",
        headers={"Content-Disposition": f'attachment; filename="{name}.eml"'},
    )


@reading
def newest(request: HttpRequest) -> HttpResponse:
    """Return the name of the newest mail: the page asks whether another one has come."""
    return JsonResponse({"newest": next((file.stem for file in _files()), "")})


app_name = "inbox"
urlpatterns = [
    path("", show, name="list"),
    path("newest", newest, name="newest"),
    path("<str:name>/", show, name="mail"),
    path("<str:name>/frame", show_html, name="frame"),
    path("<str:name>/download", download, name="download"),
    path("<str:name>/<str:tab>/", show, name="tab"),
]
