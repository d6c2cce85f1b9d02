"""A search for whole addresses that leaves none in an access log, a browser's history or a Referer.

The form is sent by POST, and answered by a redirect to `?q=` with the hash of what was typed. Where
somebody writes an address into `?q=` by hand, that request has been logged; the redirect keeps it
out of what follows.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from django_authmail.admin import shown
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.guards import envelope_address
from django_authmail.hashes import address_hashes

#: How a search for an address travels: as its hashes.
_BY_RECIPIENT = "recipient:"
# What names no person: our ids and Message-IDs, and hashes from an earlier search.
_UUID = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
_HARMLESS = re.compile(rf"(?:msg_)?{_UUID}|<{_UUID}@[^<>@\s]+>|{_BY_RECIPIENT}[0-9a-f,]+")


class AddressChangeList(ChangeList):
    model_admin: AddressSearch

    @property
    def recipient(self) -> str:
        """Return whom the search was for, masked; empty if it was for something else."""
        hashes = _hashes(self.query)
        if not hashes:
            return ""
        masked = self.model_admin.masks(hashes).first()
        return masked or gettext("the address that you searched for")


class AddressSearch(shown.PlainTitles):
    """What the ModelAdmin of rows with recipients does to find those of an address."""

    #: What is said when a search is neither for an address nor for anything that there is.
    nothing_found: Promise

    def to_addresses(self, queryset: QuerySet[Any], hashes: list[str]) -> QuerySet[Any]:
        """Return the rows of recipients with these hashes."""
        raise NotImplementedError

    def masks(self, hashes: list[str]) -> QuerySet[Any, str]:
        """Return how recipients with these hashes are shown."""
        raise NotImplementedError

    def named(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        """Return the rows that a search term names which is no address."""
        return queryset.none()

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return AddressChangeList

    @method_decorator(sensitive_post_parameters(SEARCH_VAR))
    @sensitive_variables()
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        is_form = request.method == "POST" and "authmail_search" in request.POST
        if is_form or request.method == "GET":
            if not self.has_view_or_change_permission(request):
                raise PermissionDenied
            typed = (request.POST if is_form else request.GET).get(SEARCH_VAR, "")
            harmless = self._harmless(request, typed.replace("\0", "").strip())
            if is_form or harmless != typed.strip():
                query = request.GET.copy()
                query[SEARCH_VAR] = harmless
                query.pop(PAGE_VAR, None)
                return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        return super().changelist_view(request, extra_context)

    @sensitive_variables()
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = _without_address(term)
        if hashes := _hashes(found):
            return self.to_addresses(queryset, hashes), False
        return self.named(queryset, term), False

    @sensitive_variables()
    def _harmless(self, request: HttpRequest, term: str) -> str:
        """Return what a search term becomes in a URL: itself only if it surely is no mailbox.

        People mistype: what neither reads as an address nor names a row is hashed as well.
        """
        found = _without_address(term)
        if not term or found != term or _HARMLESS.fullmatch(term):
            return found
        if self.named(self.get_queryset(request), term).exists():
            return term
        messages.warning(request, str(self.nothing_found))
        return _by_recipient(term)


@sensitive_variables()
def _without_address(term: str) -> str:
    """Return a search term in which an address has become its hashes."""
    term = term.strip()
    if "@" not in term or term.startswith("<"):
        return term
    try:
        address = envelope_address(term, "search")
    except (InvalidAddress, UnsafeHeader):
        return term
    if uuid_of(address.partition("@")[0]) is not None:
        return f"<{term}>"  # a Message-ID without its brackets
    # As typed, and in lower case: the local part is case-sensitive by the book only.
    return _by_recipient(address, address.lower())


@sensitive_variables()
def _by_recipient(*addresses: str) -> str:
    # By every key: rows of before a rotation have the hash of their time.
    return by_hashes(found for address in addresses for found in address_hashes(address))


def by_hashes(hashes: Iterable[str]) -> str:
    """Return the search term for recipients with these hashes."""
    return _BY_RECIPIENT + ",".join(dict.fromkeys(hashes))


def _hashes(term: str) -> list[str]:
    if not term.startswith(_BY_RECIPIENT):
        return []
    return term.removeprefix(_BY_RECIPIENT).split(",")


def uuid_of(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
