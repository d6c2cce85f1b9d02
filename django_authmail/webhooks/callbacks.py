"""The webhook of one request: where it wants the outcome to be sent, sealed while that is open."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from django_authmail.exceptions import SealBroken
from django_authmail.sealing import seal, unseal
from django_authmail.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A URL to send the outcome to, and what signs it: the caller's own secret, or none."""

    #: May have a token of the receiver's in it.
    url: Secret
    secret: Secret = field(default=Secret(""), repr=False)


def pack(row: uuid.UUID, callback: Callback, addresses: Sequence[str] = ()) -> bytes:
    """Return the sealed value for a column of the row `row`: of a message, or of a delivery.

    `addresses` are the recipients' of a message, in the order of their positions: the caller is
    told which of its own were refused, and by then the message's body is gone.
    """
    value = {
        "id": str(row),
        "url": str(callback.url),
        "secret": str(callback.secret),
        "to": list(addresses),
    }
    return seal(json.dumps(value).encode())


def unpack(row: uuid.UUID, sealed: bytes) -> tuple[Callback, tuple[str, ...]]:
    """Return what `pack` was given for this row.

    Raises:
        SealBroken: no key opens it, or it was sealed for another row.
    """
    value = json.loads(unseal(sealed))
    if value["id"] != str(row):
        raise SealBroken("the sealed webhook belongs to another row")
    callback = Callback(url=Secret(value["url"]), secret=Secret(value["secret"]))
    return callback, tuple(value["to"])
