"""What the state of a message means, in a sentence for whoever looks for a mail."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_authmail.models import Message, State

_MEANINGS: dict[str, Promise] = {
    State.QUEUED: _("It waits to be sent."),
    State.SENDING: _("It is being handed over to the mail server."),
    State.ACCEPTED: _(
        "The mail server took responsibility for it. Whether it reached the mailbox, only the "
        "recipient's side knows."
    ),
    State.PARTIALLY_ACCEPTED: _("The mail server took it for some recipients and refused others."),
    State.FAILED: _("It was not sent, and will not be."),
    State.EXPIRED: _("It was not sent, and will not be: it became too old."),
    State.HELD: _("The mail server may have taken it; it waits for a person to decide."),
    State.SUPERSEDED: _("It was not sent, and will not be: a newer one took its place."),
    State.UNKNOWN: _("The mail server may have taken it; nobody can say."),
}
_AS_TEST = _(
    "A key for tests sent it: everything was done but the hand-over. No mail server was asked, and "
    "nobody gets it."
)


def meaning(row: Message) -> str | Promise:
    """Return what the state of `row` means; empty for a state that is none.

    It is lazy: the language is that of the moment when it is shown. What to do about its reason
    is in `hints`.
    """
    if row.is_test and row.state == State.ACCEPTED:
        return _AS_TEST
    return _MEANINGS.get(row.state, "")
