"""Static files of the admin and the API docs, by the web server itself."""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc] # untyped library
    """WhiteNoise, which streams from an open file: a synchronous iterator.

    Under ASGI Django warns of one, and reads it whole; so does this, without the warning.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        """Answer with the file."""
        response: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
        if not isinstance(request, ASGIRequest) or not isinstance(response, StreamingHttpResponse):
            return response
        whole = HttpResponse(b"".join(response), status=response.status_code)
        whole.headers = response.headers
        response.close()
        return whole
