"""Whose a message is, in words: of the project itself, or of a key of the API."""

from __future__ import annotations

import uuid

from django.utils.translation import gettext as _

from django_authmail.conf import conf
from django_authmail.models import ApiKey

_SITE = "site"
_SETTING = "setting"


def owner_name(owner: str) -> str:
    """Return what people call an owner, as in `Message.owner`."""
    if owner == _SITE:
        return _("this project")
    if owner == _SETTING:
        return _("the key in AUTHMAIL_API_KEY")
    try:
        holder = uuid.UUID(owner.removeprefix("key:"))
    except ValueError:
        return owner
    key = ApiKey.objects.filter(holder=holder).order_by("created_at").last()
    return owner if key is None else str(key)


def owner_choices() -> list[tuple[str, str]]:
    """Return every owner that there is, with its name."""
    # Of the keys of one holder the newest, which is the one in use.
    keys = {f"key:{key.holder}": str(key) for key in ApiKey.objects.order_by("created_at")}
    setting = [_SETTING] if conf.api_key else []
    return [*((owner, owner_name(owner)) for owner in (_SITE, *setting)), *keys.items()]
