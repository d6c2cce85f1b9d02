"""What the mails look like, in the admin: sample values in frames that nothing can leave."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import translation
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET

from django_authmail.notifiers import registry
from django_authmail.notifiers.languages import LOCALES
from django_authmail.previews import Preview, previews
from django_authmail.previews.frames import FRAME_POLICY
from django_authmail.previews.gallery import VIEWS, page_of


class PreviewPages:
    """Pages of a ModelAdmin for those who may see its rows."""

    model_admin: ModelAdmin[Any]

    def __init__(self, model_admin: ModelAdmin[Any]) -> None:
        self.model_admin = model_admin

    @property
    def urls(self) -> list[URLPattern]:
        wrap = self.model_admin.admin_site.admin_view
        return [
            path("previews/", wrap(self.index), name="authmail_message_previews"),
            path(
                "previews/<slug:kind>/<int:number>/<slug:locale>/<slug:view>/",
                wrap(self.frame),
                name="authmail_message_preview",
            ),
        ]

    @method_decorator(require_GET)
    def index(self, request: HttpRequest) -> HttpResponse:
        self._check(request)
        kinds = registry.kinds()
        kind = request.GET.get("kind", kinds[0])
        if kind not in kinds:
            raise Http404
        own = (translation.get_language() or "").partition("-")[0]
        locales = sorted(LOCALES, key=lambda locale: locale != own)
        context = {
            **self.model_admin.admin_site.each_context(request),
            "title": _("What the mails look like"),
            "opts": self.model_admin.opts,
            "is_nav_sidebar_enabled": False,  # the frames need its room
            "kinds": kinds,
            "kind": kind,
            "description": registry.get(kind).description,
            "samples": [
                (made, self._frames(made), "") for made in previews([kind], locales=locales)
            ],
        }
        return TemplateResponse(request, "admin/authmail/message/previews.html", context)

    @method_decorator((require_GET, xframe_options_sameorigin))
    def frame(
        self, request: HttpRequest, kind: str, number: int, locale: str, view: str
    ) -> HttpResponse:
        self._check(request)
        if kind not in registry.kinds() or locale not in LOCALES or view not in VIEWS:
            raise Http404
        for made in previews([kind], locales=[locale]):
            if made.number == number and made.message is not None:
                response = HttpResponse(page_of(made.message, view))
                response["Content-Security-Policy"] = FRAME_POLICY
                return response
        raise Http404

    def _check(self, request: HttpRequest) -> None:
        if not self.model_admin.has_view_permission(request):
            raise PermissionDenied

    def _frames(self, made: Preview) -> list[tuple[str, str, str]]:
        site = self.model_admin.admin_site.name
        name = f"{site}:authmail_message_preview"
        return [
            (view, str(title), reverse(name, args=[made.kind, made.number, made.locale, view]))
            for view, title in VIEWS.items()
        ]
