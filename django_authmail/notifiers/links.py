"""Links in mails: whose host is the project's, whatever a caller sends."""

from __future__ import annotations

from typing import ClassVar, Self
from urllib.parse import quote

from django_authmail.conf import conf
from django_authmail.exceptions import NoLinkBaseURL
from django_authmail.guards import link_base, link_path
from django_authmail.notifiers.base import Notifier
from django_authmail.notifiers.delivery import Sender
from django_authmail.notifiers.values import checked_token
from django_authmail.secret import Secret

#: Where the links of samples lead in a project that has no base URL yet. RFC 2606: nowhere.
SAMPLE_BASE_URL = "https://app.example.com"


class LinkNotifier(Notifier):
    """A kind whose mail has a link: `base_url` + `path` + `?token=`, with the token URL-encoded.

    `base_url` is AUTHMAIL_LINK_BASE_URL where it is not given, and `path` that of the kind in
    AUTHMAIL_LINK_PATHS, else `default_path`. A path with `{token}` in it has the token there
    instead. `base_url` is https, or http for this machine.

    Raises UnsafeLink for others.
    """

    default_path: ClassVar[str] = ""

    def __init__(
        self,
        sender: Sender | None = None,
        base_url: str = "",
        path: str = "",
        subject_prefix: str = "",
        expire_minutes: int | None = None,
    ) -> None:
        super().__init__(sender, subject_prefix, expire_minutes)
        self._base_url = link_base(base_url, "base_url") if base_url else ""
        self._path = link_path(path, "path") if path else ""

    @property
    def base_url(self) -> str:
        """Where every link of this notifier begins.

        Raises NoLinkBaseURL where neither the notifier nor the project has one.
        """
        if base_url := self._base_url or conf.link_base_url:
            return base_url
        raise NoLinkBaseURL(
            f"a {self.kind} mail has a link: set AUTHMAIL_LINK_BASE_URL to the https:// address "
            "of your site, or give base_url"
        )

    @property
    def path(self) -> str:
        return self._path or conf.link_paths.get(self.kind, self.default_path)

    def link(self, token: str) -> Secret:
        """Return the link with `token` in it, of at most 2,000 characters."""
        encoded = quote(checked_token(token), safe="")
        if "{token}" in self.path:
            return Secret(self.base_url + self.path.replace("{token}", encoded))
        return Secret(f"{self.base_url}{self.path}?token={encoded}")

    @property
    def page(self) -> str:
        """The page of this kind, without a token; empty where the project names none.

        A path with `{token}` in it names none.
        """
        base_url = self._base_url or conf.link_base_url
        path = self.path
        return base_url + path if base_url and path and "{token}" not in path else ""

    @classmethod
    def for_samples(cls) -> Self:
        return cls(base_url=conf.link_base_url or SAMPLE_BASE_URL)
