"""Django's own password reset, as a mail of this package.

from django_authmail.contrib.auth import PasswordResetView

path("accounts/password_reset/", PasswordResetView.as_view(), name="password_reset")
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import forms, views
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_authmail.conf import conf
from django_authmail.contrib.links import MadeElsewhere, local_part
from django_authmail.contrib.people import name_of
from django_authmail.contrib.unseen import send_unseen
from django_authmail.notifiers import PasswordResetNotifier


class ResetLinkNotifier(MadeElsewhere, PasswordResetNotifier):
    """A password-reset mail whose link another package made."""


class PasswordResetForm(forms.PasswordResetForm):
    """Django's form; its mail is a password-reset mail of this package.

    The link goes to AUTHMAIL_LINK_BASE_URL, whatever host the request named. What Django knows of
    templates, sender and domain is not used: texts are in `authmail/password-reset/`.
    """

    #: The mailer that the mail goes to.
    using: str | None = None
    #: The URL that takes `uidb64` and `token`.
    confirm_url_name = "password_reset_confirm"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Send a link to each user with the address.

        Raises NoLinkBaseURL without AUTHMAIL_LINK_BASE_URL, NoReverseMatch without the URL.
        """
        # Asked before anybody is looked up: what is missing fails for every address alike.
        _ = ResetLinkNotifier().base_url
        self._page(uid="x", token="x-x")  # noqa: S106 - of nobody
        super().save(*args, **kwargs)

    @sensitive_variables()
    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        url = self._page(uid=context["uid"], token=context["token"])
        send_unseen(
            ResetLinkNotifier(),
            to_email,
            user_name=name_of(context["user"]),
            token=local_part(url),
            expires_in=timedelta(seconds=conf.password_reset_timeout),
            at=timezone.now(),
            using=self.using,
        )

    def _page(self, *, uid: str, token: str) -> str:
        return reverse(self.confirm_url_name, kwargs={"uidb64": uid, "token": token})


class PasswordResetView(views.PasswordResetView):
    """Django's view with `PasswordResetForm`."""

    form_class = PasswordResetForm
