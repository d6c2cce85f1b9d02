"""What the state of a message means, in a sentence for whoever looks for a mail."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_authmail.models import Message, State

#: What is due for longer has no worker: the dispatcher looks every second at least, a sweep of
#: Celery comes every 5 s.
OVERDUE = timedelta(seconds=15)

_MEANINGS: dict[str, Promise] = {
    State.QUEUED: _("It waits to be sent."),
    State.SENDING: _("It is being handed over to the mail server."),
    State.ACCEPTED: _(
        "The mail server took responsibility for it. Whether it reached the mailbox, only the "
        "recipient's side knows."
    ),
    State.PARTIALLY_ACCEPTED: _(
        "The mail server took it for some recipients. What became of the others, the state of each "
        "says."
    ),
    State.FAILED: _("It was not sent, and will not be."),
    State.EXPIRED: _("It was not sent, and will not be: it became too old."),
    State.HELD: _("The mail server may have taken it; it waits for a person to decide."),
    State.SUPERSEDED: _("It was not sent, and will not be: a newer one took its place."),
    State.UNKNOWN: _("The mail server may have taken it; nobody can say."),
}
#: States in which it is a worker's turn once the row is due. A person decides on what is held.
_WORKERS = (State.QUEUED, State.SENDING)
_AS_TEST = _(
    "A key for tests sent it: everything was done but the hand-over. No mail server was asked, and "
    "nobody gets it."
)


def meaning(row: Message, now: datetime) -> str:
    """Return what the state of `row` means by the clock's `now`, in the language that is active.

    Empty for a state that is none. What to do about its reason is in `hints`.
    """
    if row.state in _WORKERS and row.due_at is not None and row.due_at + OVERDUE < now:
        seconds = {"seconds": int((now - row.due_at).total_seconds())}
        return (
            gettext(
                "It has been due for %(seconds)s s and no worker took it: run `manage.py "
                "authmail_dispatch`, or a Celery worker and beat."
            )
            % seconds
        )
    if row.is_test and row.state == State.ACCEPTED:
        return str(_AS_TEST)
    return str(_MEANINGS.get(row.state, ""))
