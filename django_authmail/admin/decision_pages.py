"""Where a person decides about a held message, in the admin: what there is to do, and are you sure.

Only those may who have the permission to change messages; nobody changes one by a form.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from django_authmail.admin import shown
from django_authmail.exceptions import NotHeld
from django_authmail.models import Message, State
from django_authmail.outbox import queue
from django_authmail.outbox.queue import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    label: Promise
    meaning: Promise
    done: Promise


_WORDS = {
    Decision.SEND_AGAIN: _Words(
        label=_("Send it again"),
        meaning=_(
            "The same mail goes out once more, with the same Message-ID. If the first one arrived, "
            "the recipient gets it twice."
        ),
        done=_("It is queued, and will be sent again."),
    ),
    Decision.DELIVERED: _Words(
        label=_("It was delivered"),
        meaning=_(
            "The recipient has it, or the log of the mail server shows that it was taken. It "
            "counts as accepted, and nothing more is sent."
        ),
        done=_("It counts as accepted."),
    ),
    Decision.GIVE_UP: _Words(
        label=_("Give up"),
        meaning=_("Nothing more is sent, and its outcome stays unknown."),
        done=_("Nothing more is sent; its outcome stays unknown."),
    ),
}


class DecisionPages:
    """Pages of the send log's ModelAdmin."""

    def __init__(self, model_admin: ModelAdmin[Any]) -> None:
        self._admin = model_admin

    @property
    def urls(self) -> list[URLPattern]:
        view = self._admin.admin_site.admin_view(self.decide)
        return [
            path("<uuid:id>/decide/<slug:word>/", view, name="authmail_message_decide"),
        ]

    def choices(self, request: HttpRequest, row: Message) -> dict[str, Any]:
        """Return what a held message's page shows of this; nothing for others."""
        if row.state != State.HELD:
            return {}
        return {
            "held_until": shown.when(row.due_at),
            "may_decide": self._may_decide(request),
            "decisions": [
                (self._url("decide", row.pk, decision), words.label, words.meaning)
                for decision, words in _WORDS.items()
            ],
        }

    @method_decorator(require_http_methods(["GET", "POST"]))
    def decide(self, request: HttpRequest, id: uuid.UUID, word: str) -> HttpResponse:
        if not self._may_decide(request):
            raise PermissionDenied
        if word not in list(Decision):
            raise Http404
        decision = Decision(word)
        words = _WORDS[decision]
        row = self._admin.get_queryset(request).filter(pk=id).first()
        if row is None:
            raise Http404
        back = HttpResponseRedirect(self._url("change", id))
        if row.state != State.HELD:
            return self._too_late(request, back)
        if request.method != "POST":
            return self._confirmation(request, row, words)
        try:
            # The user's key, not the name: names are often addresses, and this reaches the log.
            row = queue.decide(id, decision, by=f"user:{request.user.pk}")
        except NotHeld:
            return self._too_late(request, back)
        self._admin.log_change(request, row, str(words.label))
        messages.success(request, str(words.done))
        return back

    def _confirmation(self, request: HttpRequest, row: Message, words: _Words) -> HttpResponse:
        context = {
            **self._admin.admin_site.each_context(request),
            "title": words.label,
            "opts": self._admin.opts,
            "row": row,
            "state": row.get_state_display(),
            "meaning": words.meaning,
            "back": self._url("change", row.pk),
        }
        return TemplateResponse(request, "admin/authmail/message/decide.html", context)

    def _too_late(self, request: HttpRequest, back: HttpResponse) -> HttpResponse:
        messages.warning(request, _("It is not held any more; nothing was done."))
        return back

    def _may_decide(self, request: HttpRequest) -> bool:
        opts = self._admin.opts
        change = f"{opts.app_label}.{get_permission_codename('change', opts)}"
        allowed: bool = request.user.has_perm(change) and self._admin.has_view_permission(request)
        return allowed

    def _url(self, page: str, *args: Any) -> str:
        return reverse(f"{self._admin.admin_site.name}:authmail_message_{page}", args=args)
