"""What a row keeps of a message while it is open: one sealed value.

Row id, envelope and MIME bytes are sealed together, so that a body moved to another row, or an
envelope exchanged by somebody who can write to the table, does not open.
"""

from __future__ import annotations

import json
import uuid

from django_authmail.exceptions import SealBroken
from django_authmail.message import Envelope
from django_authmail.sealing import seal, unseal

_SEPARATOR = b"\n"


def pack(row: uuid.UUID, envelope: Envelope, content: bytes) -> bytes:
    """Return the sealed value for the row's column."""
    head = {"id": str(row), "from": envelope.sender, "to": envelope.recipients}
    return seal(json.dumps(head).encode() + _SEPARATOR + content)


def unpack(row: uuid.UUID, sealed: bytes) -> tuple[Envelope, bytes]:
    """Return envelope and content.

    Raises:
        SealBroken: no key opens it, or it was sealed for another row.
    """
    head, _, content = unseal(sealed).partition(_SEPARATOR)
    values = json.loads(head)
    if values["id"] != str(row):
        raise SealBroken("the sealed body belongs to another row")
    return Envelope(sender=values["from"], recipients=tuple(values["to"])), content
