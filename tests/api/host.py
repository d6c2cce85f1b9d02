"""A project with habits of its own, and the API somewhere in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Own(APIView):
    """A view of the project's, which its permissions refuse."""

    def get(self, request: Request) -> Response:
        return Response({})


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    return Response({"refused by": "the project"}, status=418)


class Reads:
    """Middleware that looks at every body, and marks every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        size = len(request.body)
        response = self._get_response(request)
        response["X-Seen"] = str(size)
        return response


_nested = [path("mail/", include("django_authmail.api.urls"))]

urlpatterns = [
    path("own", Own.as_view()),
    path("internal/", include((_nested, "internal"))),
]
