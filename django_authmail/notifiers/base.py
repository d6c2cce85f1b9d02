"""What every kind of mail has: a name, templates, a build and a send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
)

from django.utils import translation
from django.utils.functional import Promise

from django_authmail import mailers
from django_authmail.guards import one_line
from django_authmail.message import Attachment, AuthMessage, OnUnknown, Priority
from django_authmail.notifiers.brand import current_brand
from django_authmail.notifiers.calls import addresses, checked_call, checked_to
from django_authmail.notifiers.delivery import ByMailer, Sender, hand_over, log_not_sent
from django_authmail.notifiers.errors import withholds_values
from django_authmail.notifiers.languages import choose_locale
from django_authmail.notifiers.rendering import Rendered, Templates, render
from django_authmail.notifiers.values import checked_lifetime, lifetime_in_words, origin
from django_authmail.outcomes import Queued, SendResult

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = ParamSpec("P")
N = TypeVar("N", bound="Notifier")


class Options(TypedDict, total=False):
    """What `send` and `build` of every kind take, by name, besides the values of the mail."""

    #: Language of the mail; see `choose_locale`.
    locale: str | None
    cc: Iterable[str]
    bcc: Iterable[str]
    reply_to: Iterable[str]
    attachments: Iterable[Attachment]
    #: How long the content is of use: the mail says so, and is never handed over later.
    expires_in: timedelta | None
    #: When, where and by what it was asked for; shown near the top. ISO 8601 with offset as text.
    at: datetime | str | None
    place: str
    device: str
    #: Narrows what this mail supersedes to mails with the same key.
    supersede_key: str
    #: Whether somebody waits for it; by default, what the kind says.
    priority: Priority
    #: Kept with the row of a mail that is recorded, and never in the mail.
    metadata: Mapping[str, str]
    #: The mailer that `send` hands it to; None: the notifier's sender, else `default`.
    using: str | None


def sends(
    values: Callable[Concatenate[N, P], DataclassInstance],
) -> Callable[Concatenate[N, P], SendResult | Queued]:
    """Make a method that returns the values for the templates one that sends the mail.

    The method's arguments become those of `send` and of `build`, checked by name when they are
    called. It runs with the mail's language active.
    """

    @withholds_values
    def send(self: N, /, *args: P.args, **kwargs: P.kwargs) -> SendResult | Queued:
        return Notifier.send(self, *args, **kwargs)

    update_wrapper(send, values)
    send.values = values  # type: ignore[attr-defined] # where `build` finds it
    return send


class Notifier:
    """One kind of mail: a `kind`, templates in `authmail/<kind>/`, and a `send`.

        @dataclass(frozen=True, slots=True, kw_only=True)
        class ParcelContext:
            user_name: str
            parcel: str

        @register
        class ParcelNotifier(Notifier):
            kind = "parcel"

            @sends
            def send(
                self, to: str, user_name: str, parcel: str, **options: Unpack[Options]
            ) -> ParcelContext:
                return ParcelContext(user_name=clean_name(user_name), parcel=parcel)

    `sender` is an SmtpSender to send by; without one, the project's mailers are used. What `send`,
    `build` and `compose` raise comes without the frames inside them, which hold the mail.
    """

    #: The name of this kind: in rows, logs, metrics, URLs, and as the folder of its templates.
    kind: ClassVar[str] = ""
    #: What it is for, in a few words, for lists of kinds.
    description: ClassVar[str | Promise] = ""
    #: What happens when a server may or may not have taken the mail.
    on_unknown: ClassVar[OnUnknown] = OnUnknown.RESEND
    priority: ClassVar[Priority] = Priority.HIGH
    #: Whether an older mail of this kind is of no use once there is a newer one.
    supersedes: ClassVar[bool] = False
    #: Minutes that the content is valid where nothing else is said; None: for ever.
    default_expire_minutes: ClassVar[int | None] = None
    #: The value that callers of `send(to_email, user_name, payload)` mean by `payload`.
    payload: ClassVar[str] = ""

    def __init__(
        self,
        sender: Sender | None = None,
        subject_prefix: str = "",
        expire_minutes: int | None = None,
    ) -> None:
        if isinstance(sender, str):
            raise TypeError(
                f"{type(self).__name__}: the first argument is a sender; give all others by name"
            )
        self._sender: Sender = ByMailer() if sender is None else sender
        self.subject_prefix = one_line(subject_prefix, "subject_prefix")
        self.expire_minutes = (
            self.default_expire_minutes if expire_minutes is None else expire_minutes
        )
        if self.expire_minutes is not None and self.expire_minutes < 1:
            raise ValueError(f"expire_minutes must be 1 or more, not {self.expire_minutes}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(expire_minutes={self.expire_minutes})"

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        """Return values to show this kind with, by a name for each set of them.

        They are what `build` takes besides `to` and options. The first is the one that a test
        mail shows.
        """
        return {}

    @classmethod
    def for_samples(cls) -> Self:
        """Return a notifier for `samples`; it works in a project where not all is set up."""
        return cls()

    @withholds_values
    def build(self, /, *args: Any, **values: Any) -> AuthMessage:
        """Return the mail that `send` would send, which takes the same arguments.

        Raises:
            MissingName, UnknownName: a value that this kind needs, or does not take.
            InvalidContext: a value that cannot be shown as it should.
            InvalidAddress, UnsafeHeader: an address that is none, or would break a header.
            TypeError: `to` is no string.
        """
        function = getattr(type(self).send, "values", None)
        if function is None:
            raise TypeError(f"{type(self).__name__}.send is not made by `sends`")
        call = checked_call(
            function, args, values, options=Options.__annotations__, payload=self.payload
        )
        to = checked_to(call.to)
        options = cast(
            "Options", call.options | {"locale": choose_locale(call.options.get("locale"))}
        )
        with translation.override(options["locale"]):
            context = function(self, to, **call.values, **options)
        return self.compose(to, context, **options)

    @withholds_values
    def send(self, /, *args: Any, **values: Any) -> SendResult | Queued:
        """Build the mail and hand it over.

        The mailer decides what comes back: what became of it (`SendResult`), or that it is
        recorded (`Queued`). Both are true unless it was not sent or will not be, and say why by
        `error_code` and `reason`.
        """
        return self.deliver(self.build(*args, **values), using=values.get("using"))

    @withholds_values
    def deliver(self, message: AuthMessage, *, using: str | None = None) -> SendResult | Queued:
        """Hand a built message to the mailer `using`, by default to the notifier's sender.

        What was not sent is returned as such, and is a line in the log (`notifier.not_sent`).
        """
        result = hand_over(message, self._sender if using is None else mailers.get_mailer(using))
        if not result:
            log_not_sent(message, result)
        return result

    @withholds_values
    def compose(
        self,
        to: str,
        context: DataclassInstance | Mapping[str, Any],
        **options: Unpack[Options],
    ) -> AuthMessage:
        """Render the templates with the values in `context` and return the message."""
        checked_to(to)
        language = choose_locale(options.get("locale"))
        expires_in = self.valid_for(options)
        from_email = self._sender.from_email
        with translation.override(language):
            brand = current_brand(from_email, language)
            surroundings = {
                "locale": language,
                "brand": brand,
                "lifetime": "" if expires_in is None else lifetime_in_words(expires_in),
                "origin": origin(
                    options.get("at"), options.get("place", ""), options.get("device", "")
                ),
            }
            rendered = self.render(_by_name(context), surroundings, locale=language)
        # Only where a template has it: a project's own may show no logo.
        shown = (brand.logo,) if brand.logo and 'src="cid:logo"' in rendered.html_body else ()
        return AuthMessage(
            to=(to,),
            cc=addresses(options.get("cc", ()), "cc"),
            bcc=addresses(options.get("bcc", ()), "bcc"),
            reply_to=addresses(options.get("reply_to", ()), "reply_to"),
            subject=" ".join(part for part in (self.subject_prefix, rendered.subject) if part),
            text_body=rendered.text_body,
            html_body=rendered.html_body,
            from_email=from_email,
            attachments=(*options.get("attachments", ()), *shown),
            kind=self.kind,
            locale=language,
            expires_in=expires_in,
            on_unknown=self.on_unknown,
            priority=Priority(options.get("priority", self.priority)),
            metadata=tuple(options.get("metadata", {}).items()),
            supersedes=self.supersedes,
            supersede_key=options.get("supersede_key", ""),
        )

    def render(
        self, values: Mapping[str, Any], surroundings: Mapping[str, Any], *, locale: str
    ) -> Rendered:
        """Return the parts of the mail; `surroundings` are what every mail has besides `values`."""
        templates = Templates.of(f"authmail/{self.kind}")
        return render(templates, {**surroundings, **values}, locale=locale)

    def valid_for(self, options: Options) -> timedelta | None:
        """Return how long the content of a mail with these options is of use; None: for ever."""
        if (wanted := options.get("expires_in")) is not None:
            return checked_lifetime(wanted)
        return None if self.expire_minutes is None else timedelta(minutes=self.expire_minutes)


def _by_name(context: DataclassInstance | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(context, Mapping):
        return context
    return {known.name: getattr(context, known.name) for known in fields(context)}
