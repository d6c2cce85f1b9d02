"""Kinds of mail by name."""

from __future__ import annotations

import pytest

from django_authmail import notifiers
from django_authmail.message import AuthMessage
from django_authmail.notifiers import Notifier, OTPNotifier


def test_the_public_names_are_these() -> None:
    assert notifiers.__all__ == sorted(notifiers.__all__)
    assert all(hasattr(notifiers, name) for name in notifiers.__all__)


def test_the_kinds_of_the_package_are_registered() -> None:
    assert set(notifiers.kinds()) >= {
        "email-verification",
        "invitation",
        "magic-link",
        "otp",
        "password-reset",
        "payment-receipt",
        "security-notice",
        "welcome",
    }
    assert notifiers.get("otp") is OTPNotifier


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(LookupError, match="no notifier of the kind 'opt'; did you mean 'otp'?"):
        notifiers.get("opt")
    with pytest.raises(LookupError, match="there are: .*otp"):
        notifiers.get("receipt-of-payment")


def test_a_name_is_taken_once() -> None:
    class Impostor(Notifier):
        kind = "otp"

        def build(self, to: str, **values: object) -> AuthMessage:
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"'otp' is taken by django_authmail\.notifiers\.otp"):
        notifiers.register(Impostor)
    assert notifiers.get("otp") is OTPNotifier
    assert notifiers.register(OTPNotifier) is OTPNotifier


@pytest.mark.parametrize("kind", ["", "Otp", "otp_code", "otp/../x", "otp code", "-otp", "otp-"])
def test_a_kind_is_a_name_for_folders_and_urls(kind: str) -> None:
    class Nameless(Notifier):
        pass

    Nameless.kind = kind
    with pytest.raises(ValueError, match="kind must be lower-case words with hyphens"):
        notifiers.register(Nameless)
