"""The kinds of mail that the package ships, without those that other tests register."""

from __future__ import annotations

from django_authmail.notifiers import registry

SHIPPED = tuple(
    kind
    for kind in registry.kinds()
    if registry.get(kind).__module__.startswith("django_authmail.")
)
