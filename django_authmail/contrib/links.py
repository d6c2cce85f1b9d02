"""Links whose path another package made, on the project's own host."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.values import checked_token
from django_authmail.secret import Secret


def local_part(url: str) -> Secret:
    """Return path, query and fragment of a URL.

    What other packages call a link has the host that the request named, which anybody can forge.
    """
    parts = urlsplit(url)
    return Secret(urlunsplit(("", "", "/" + parts.path.lstrip("/"), parts.query, parts.fragment)))


class MadeElsewhere(LinkNotifier):
    """A link notifier whose `token` is a whole `local_part`.

    It goes to the host of AUTHMAIL_LINK_BASE_URL. A path in that setting is left out: what
    `reverse()` returns has it already.
    """

    def link(self, token: str) -> Secret:
        own = urlsplit(self.base_url)
        return Secret(f"{own.scheme}://{own.netloc}{checked_token(token)}")
