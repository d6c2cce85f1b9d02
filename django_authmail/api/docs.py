"""The pages that describe the API: /openapi.json, /docs, /redoc and /docs/errors.

They need no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from django.apps import apps
from django.http import HttpResponse, JsonResponse
from django.templatetags.static import static
from django.utils import translation
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.request import Request

from django_authmail import hints, wording
from django_authmail.api import problems, schema
from django_authmail.api.base import AuthmailView
from django_authmail.api.codes import KINDS, Kind
from django_authmail.api.problems import Problem
from django_authmail.conf import conf
from django_authmail.outcomes import Reason

_SWAGGER = "drf_spectacular_sidecar/swagger-ui-dist"
_REDOC = "drf_spectacular_sidecar/redoc/bundles"
# Redoc makes an empty <style> and adds its rules by script. This is SHA-256 of nothing: what allows
# that one and no other.
_EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


class _DocsView(AuthmailView):
    """Base of the pages: open to everybody, and gone where AUTHMAIL_API_DOCS is off."""

    authentication_classes = []
    negotiates = False

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if not conf.api_docs:
            hint = gettext_lazy("Whoever runs this service can switch it on by AUTHMAIL_API_DOCS.")
            raise Problem("not_found", "documentation disabled", hint=hint)

    def page(
        self,
        title: str,
        body: SafeString,
        *,
        language: str,
        sheets: Iterable[str] = ("authmail/docs.css",),
        policy: Mapping[str, str] = MappingProxyType({}),
    ) -> HttpResponse:
        """Return an HTML page that may load from this site and from where its static files are.

        `policy` adds to the Content-Security-Policy.
        """
        html = format_html(
            '<!doctype html>\n<html lang="{}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<title>{}</title>\n<link rel="icon" href="data:,">\n{}\n</head>\n'
            "<body>\n{}\n</body>\n</html>\n",
            language,
            title,
            format_html_join(
                "\n",
                '<link rel="stylesheet" href="{}">',
                ((static(sheet),) for sheet in sheets),
            ),
            body,
        )
        response = HttpResponse(html)
        own = " ".join(filter(None, ("'self'", _origin(static("authmail/docs.css")))))
        sources = {
            "default-src": "'none'",
            "script-src": own,
            "style-src": own,
            "img-src": f"{own} data:",
            "font-src": own,
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        for directive, source in policy.items():
            sources[directive] = f"{sources.get(directive, '')} {source}".strip()
        response["Content-Security-Policy"] = "; ".join(map(" ".join, sources.items()))
        response["Referrer-Policy"] = "no-referrer"
        return response

    def viewer(
        self,
        element: str,
        scripts: Iterable[str],
        *,
        sheets: Iterable[str] = ("authmail/docs.css",),
        policy: Mapping[str, str] = MappingProxyType({}),
    ) -> HttpResponse:
        """Return a page that shows the description by a viewer of drf_spectacular_sidecar."""
        if not _has_viewers():
            raise Problem(
                "not_found",
                "This page needs the app 'drf_spectacular_sidecar'.",
                hint=gettext_lazy(
                    "Add `drf_spectacular_sidecar` to INSTALLED_APPS, or use GET /openapi.json."
                ),
            )
        body = format_html(
            '<div id="{}" data-url="{}"></div>\n<noscript>{}</noscript>\n{}',
            element,
            self.link("openapi"),
            "This page needs JavaScript.",
            format_html_join(
                "\n", '<script src="{}"></script>', ((static(script),) for script in scripts)
            ),
        )
        return self.page("django-authmail API", body, language="en", sheets=sheets, policy=policy)


class OpenAPIView(_DocsView):
    @schema.described(exclude=True)
    def get(self, request: Request) -> JsonResponse:
        mount = self.link("health").removesuffix("/health")
        return JsonResponse(schema.description(mount), json_dumps_params={"ensure_ascii": False})


class DocsView(_DocsView):
    @schema.described(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return self.viewer(
            "swagger-ui",
            (f"{_SWAGGER}/swagger-ui-bundle.js", "authmail/docs.js"),
            sheets=(f"{_SWAGGER}/swagger-ui.css", "authmail/docs.css"),
        )


class RedocView(_DocsView):
    @schema.described(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return self.viewer(
            "redoc",
            (f"{_REDOC}/redoc.standalone.js", "authmail/redoc.js"),
            # Its search runs in a worker that it makes of its own script.
            policy={"style-src": _EMPTY_STYLE, "worker-src": "blob:"},
        )


class ErrorsView(_DocsView):
    """Every code of KINDS: where the `type` of a problem leads."""

    @schema.described(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        language = problems.preferred_language(request._request)
        with translation.override(language):
            codes = (
                (
                    code,
                    code,
                    kind.status,
                    _(kind.title),
                    wording.marked(wording.said(kind.hint)),
                    self._again(kind),
                )
                for code, kind in KINDS.items()
            )
            reasons = (
                (f"reason-{reason}", reason, wording.marked(hints.hint_for_caller(reason)))
                for reason in Reason
            )
            body = format_html(
                '<main class="authmail-errors"><h1>{}</h1>\n{}\n<h2>{}</h2>\n{}</main>',
                _("Errors of the API"),
                _table(
                    (_("code"), _("status"), _("meaning"), _("what to do"), _("try again later?")),
                    codes,
                ),
                _("Reasons of a failed delivery"),
                _table((_("reason"), _("what to do")), reasons),
            )
            return self.page(_("Errors of the API"), body, language=language)

    def _again(self, kind: Kind) -> str:
        return _("yes") if kind.retryable else _("no")


def _has_viewers() -> bool:
    return apps.is_installed("drf_spectacular_sidecar")


def _table(heads: Sequence[str], rows: Iterable[tuple[object, ...]]) -> SafeString:
    """Return a table; the first value of a row is the place that an address can lead to."""
    body = (
        (
            row[0],
            row[1],
            # A phone shows each cell below the other, with its head beside it.
            format_html_join(
                "", '<td data-head="{}">{}</td>', zip(heads[1:], row[2:], strict=True)
            ),
        )
        for row in rows
    )
    return format_html(
        "<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>",
        format_html_join("", "<th>{}</th>", ((head,) for head in heads)),
        format_html_join("\n", '<tr id="{}"><th scope="row"><code>{}</code></th>{}</tr>', body),
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme or 'https'}://{parts.netloc}" if parts.netloc else ""
