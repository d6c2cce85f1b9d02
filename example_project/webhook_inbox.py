"""The demo's received webhooks: what the sink kept, and whether it was genuine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from example_project.pages import page, reading

LIST_LENGTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One webhook, read for people."""

    name: str
    received_at: datetime
    path: str
    #: The type of its event; empty where the body says none.
    type: str
    id: str
    body: str
    headers: dict[str, str]
    standard: str
    s0: str
    answer: int
    #: 1, or which arrival of the same id: a delivery that is repeated keeps its id.
    arrival: int

    @property
    def is_genuine(self) -> bool:
        return "verified" in (self.standard, self.s0)


def received_webhooks() -> list[Received]:
    """Return the last webhooks that arrived, newest first."""
    files = _files()[-LIST_LENGTH:]
    arrivals: dict[str, int] = {}
    return [_read(file, arrivals) for file in files][::-1]


def _read(file: Path, arrivals: dict[str, int]) -> Received:
    kept = json.loads(file.read_bytes())
    headers = {name.lower(): value for name, value in kept["headers"].items()}
    id = headers.get("webhook-id", "")
    arrivals[id] = arrivals.get(id, 0) + 1
    body, kind = _readable(kept["body"])
    return Received(
        name=file.stem,
        received_at=datetime.fromtimestamp(kept["received_at"], tz=UTC),
        path=kept["path"],
        type=kind,
        id=id,
        body=body,
        headers=kept["headers"],
        standard=kept["standard"],
        s0=kept["s0"],
        answer=kept["answer"],
        arrival=arrivals[id] if id else 1,
    )


def _readable(body: str) -> tuple[str, str]:
    """Return a body as people read it, and the type that it names."""
    try:
        content: Any = json.loads(body)
    except ValueError:
        return body, ""
    kind = content.get("type") if isinstance(content, dict) else None
    indented = json.dumps(content, indent=2, ensure_ascii=False)
    return indented, kind if isinstance(kind, str) else ""


def _files() -> list[Path]:
    if settings.DEMO_WEBHOOKS_DIR is None:
        raise Http404("there are no webhooks without DEMO_WEBHOOKS_DIR")
    # The sink names its files by the time of arrival.
    return sorted(settings.DEMO_WEBHOOKS_DIR.glob("*.json"))


@reading
def show(request: HttpRequest) -> HttpResponse:
    """Show what arrived, newest first."""
    return page(request, "example_project/webhooks.html", {"webhooks": received_webhooks()})


@reading
def newest(request: HttpRequest) -> HttpResponse:
    """Return the name of the newest one: the page asks whether another one has come."""
    return JsonResponse({"newest": next((file.stem for file in reversed(_files())), "")})


app_name = "webhooks"
urlpatterns = [path("", show, name="list"), path("newest", newest, name="newest")]
