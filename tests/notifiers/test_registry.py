"""Kinds of mail by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from django_authmail import notifiers
from django_authmail.message import AuthMessage
from django_authmail.notifiers import Notifier, OTPNotifier, registry


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


def test_a_class_of_the_same_name_elsewhere_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from django_authmail.notifiers import Notifier, register\n\n"
        "@register\nclass ParcelNotifier(Notifier):\n    kind = 'parcel-twice'\n"
    )
    for name in ("parcels_here", "parcels_there"):
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    here = importlib.import_module("parcels_here")
    assert notifiers.get("parcel-twice") is here.ParcelNotifier
    with pytest.raises(ValueError, match=r"is taken by parcels_here\.ParcelNotifier"):
        importlib.import_module("parcels_there")
    # One that is loaded again, or by another name, replaces itself.
    old = here.ParcelNotifier
    assert importlib.reload(here).ParcelNotifier is notifiers.get("parcel-twice") is not old
    spec = importlib.util.spec_from_file_location("shop.parcels_here", here.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "shop.parcels_here", again)
    spec.loader.exec_module(again)
    assert notifiers.get("parcel-twice") is again.ParcelNotifier


@pytest.mark.parametrize("kind", ["", "Otp", "otp_code", "otp/../x", "otp code", "-otp", "otp-"])
def test_a_kind_is_a_name_for_folders_and_urls(kind: str) -> None:
    class Nameless(Notifier):
        pass

    Nameless.kind = kind
    with pytest.raises(ValueError, match="kind must be lower-case words with hyphens"):
        notifiers.register(Nameless)
