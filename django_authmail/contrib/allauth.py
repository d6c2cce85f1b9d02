"""django-allauth's mails, as mails of this package.

    ACCOUNT_ADAPTER = "django_authmail.contrib.allauth.AccountAdapter"

Email confirmation, password reset and login by code, by link or by code as ACCOUNT_* settings say,
and notices of changes. What is left (unknown accounts, second factors) is sent as allauth writes
it, through the project's mailer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_authmail import extras
from django_authmail.conf import conf
from django_authmail.contrib.auth import ResetLinkNotifier
from django_authmail.contrib.links import MadeElsewhere, local_part
from django_authmail.contrib.people import device_of, name_of
from django_authmail.contrib.unseen import send_unseen
from django_authmail.notifiers import (
    EmailVerificationNotifier,
    Notifier,
    OTPNotifier,
    SecurityEvent,
    SecurityNoticeNotifier,
)

extras.require("allauth", distribution="django-allauth", why="django_authmail.contrib.allauth")

from allauth.account import app_settings  # noqa: E402 # only once it is known to be there
from allauth.account.adapter import DefaultAccountAdapter  # noqa: E402 # as above

#: A notifier, and values for its `send`.
_Mail = tuple[Notifier, dict[str, Any]]


class EmailLinkNotifier(MadeElsewhere, EmailVerificationNotifier):
    """An email-verification mail whose link allauth made."""


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc] # untyped
    """allauth's default adapter with mails of this package; derive yours from it.

    Links go to AUTHMAIL_LINK_BASE_URL, whatever host the request named.
    """

    #: The mailer that mails go to.
    using: str | None = None

    @sensitive_variables()
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send one of allauth's mails; `template_prefix` says which.

        Raises NoLinkBaseURL for a link without AUTHMAIL_LINK_BASE_URL.
        """
        folder, _, name = template_prefix.rpartition("/")
        if folder != "account/email" or name not in self._MAILS:
            super().send_mail(template_prefix, email, context)
            return
        notifier, values = self._MAILS[name](self, context)
        user = context.get("user")
        values.setdefault("at", timezone.now())
        values["user_name"] = "" if user is None else name_of(user)
        send_unseen(notifier, email, using=self.using, **values)

    @sensitive_variables()
    def _confirmation(self, context: dict[str, Any]) -> _Mail:
        if code := context.get("code"):
            seconds = app_settings.EMAIL_VERIFICATION_BY_CODE_TIMEOUT
            return EmailVerificationNotifier(), {"code": code, "expires_in": _lifetime(seconds)}
        lifetime = timedelta(days=app_settings.EMAIL_CONFIRMATION_EXPIRE_DAYS)
        link = local_part(context["activate_url"])
        return EmailLinkNotifier(), {"token": link, "expires_in": lifetime}

    @sensitive_variables()
    def _reset_link(self, context: dict[str, Any]) -> _Mail:
        link = local_part(context["password_reset_url"])
        lifetime = _lifetime(conf.password_reset_timeout)
        return ResetLinkNotifier(), {"token": link, "expires_in": lifetime}

    @sensitive_variables()
    def _login_code(self, context: dict[str, Any]) -> _Mail:
        lifetime = _lifetime(app_settings.LOGIN_BY_CODE_TIMEOUT)
        return OTPNotifier(), {"code": context["code"], "expires_in": lifetime}

    @sensitive_variables()
    def _reset_code(self, context: dict[str, Any]) -> _Mail:
        lifetime = _lifetime(app_settings.PASSWORD_RESET_BY_CODE_TIMEOUT)
        return OTPNotifier(), {"code": context["code"], "expires_in": lifetime}

    def _password_changed(self, context: dict[str, Any]) -> _Mail:
        return self._notice(SecurityEvent.PASSWORD_CHANGED, context)

    def _email_changed(self, context: dict[str, Any]) -> _Mail:
        addresses = {"old_email": context["from_email"], "new_email": context["to_email"]}
        return self._notice(SecurityEvent.EMAIL_CHANGED, context, **addresses)

    def _notice(self, event: SecurityEvent, context: dict[str, Any], **values: str) -> _Mail:
        ip = context.get("ip")
        return SecurityNoticeNotifier(), {
            "event": event,
            "at": context["timestamp"],
            "place": f"IP {ip}" if ip else "",
            "device": device_of(context.get("user_agent") or ""),
            **values,
        }

    #: allauth's names of mails, and what makes ours of them.
    _MAILS: ClassVar[dict[str, Any]] = {  # methods, before they are bound
        "email_changed": _email_changed,
        "email_confirmation": _confirmation,
        "email_confirmation_signup": _confirmation,
        "login_code": _login_code,
        "password_changed": _password_changed,
        "password_reset": _password_changed,
        "password_reset_code": _reset_code,
        "password_reset_key": _reset_link,
        "password_set": _password_changed,
    }


def _lifetime(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)
