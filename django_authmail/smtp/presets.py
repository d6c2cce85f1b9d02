"""What is known about mail providers: how to reach them, their limits, and how to stop tracking.

A preset fills in what the project leaves out; whatever is given wins. Where a provider offers both,
TLS from the first octet (port 465) is taken: RFC 8314 3.3 prefers it, nothing can be injected
before it, and it saves two round trips per connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ImproperlyConfigured

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
# Ports of providers that begin with TLS. (SES has 2465 for networks that block 465.)
_TLS_PORTS = frozenset({465, 2465})
# https://docs.aws.amazon.com/general/latest/gr/ses.html: ap-northeast-2, us-gov-west-1
_AWS_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,2}-\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One provider. Durations are seconds; the limits are of one process."""

    name: str
    host: str
    port: int
    use_tls: bool = False
    use_ssl: bool = False
    #: Most connections that are open at once.
    pool_size: int = 4
    #: Most mails before a connection is replaced.
    max_mails: int = 90
    max_age: float = 480.0
    #: What the provider takes from one account in 24 hours; None where it says none, or where it
    #: depends on the account. (Gmail and Microsoft count recipients.)
    daily_quota: int | None = None
    #: Added to each mail, so that the provider neither rewrites links nor adds pictures.
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS, hash=False)
    #: The user name, where it is the same for every account.
    user: str = ""
    #: What to know, for people.
    note: str = ""

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of `SmtpConfig`: `given`, and from the preset what it leaves out.

        Of port and TLS mode, one that is given without the other decides it: `port=587` is enough.
        """
        known: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "use_tls": self.use_tls,
            "use_ssl": self.use_ssl,
            "pool_size": self.pool_size,
            "max_mails": self.max_mails,
            "max_age": self.max_age,
        }
        if self.user:
            known["user"] = self.user
        if "use_tls" in given or "use_ssl" in given:
            # Half a mode is enough, the other half follows. False twice is no TLS.
            use_ssl = bool(given.get("use_ssl", self.use_ssl and not given.get("use_tls")))
            use_tls = bool(given.get("use_tls", self.use_tls and not given.get("use_ssl")))
            known |= {"use_tls": use_tls, "use_ssl": use_ssl}
            if (use_ssl, use_tls) == (self.use_tls, self.use_ssl) and use_ssl != use_tls:
                known["port"] = 465 if use_ssl else 587
        elif "port" in given and (self.use_tls or self.use_ssl):
            known["use_ssl"] = given["port"] in _TLS_PORTS
            known["use_tls"] = not known["use_ssl"]
        return known | dict(given)


# https://www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-filters
# The last two change links and text as well: one adds parameters to each link, the other a line
# for unsubscribing. Blanks in the JSON are where a long header line may be folded.
_SENDGRID_OFF = json.dumps(
    {
        "filters": {
            name: {"settings": {"enable": 0}}
            for name in ("clicktrack", "opentrack", "ganalytics", "subscriptiontrack")
        }
    }
)

_ALL = (
    # https://developers.google.com/workspace/gmail/imap/imap-smtp (host, ports);
    # https://support.google.com/mail/answer/22839 (500). Google names no limit of connections.
    Preset(
        name="gmail",
        host="smtp.gmail.com",
        port=465,
        use_ssl=True,
        pool_size=2,
        daily_quota=500,
        note=(
            "Needs an app password (2-Step Verification on) or OAuth. The quota counts recipients "
            "over 24 hours; past it the answer is 550 5.4.5. From is rewritten to the account "
            "unless it is an alias of it."
        ),
    ),
    # https://developer.nylas.com/docs/cookbook/email/gmail-smtp-settings/ (2000)
    Preset(
        name="google-workspace",
        host="smtp.gmail.com",
        port=465,
        use_ssl=True,
        pool_size=2,
        daily_quota=2000,
        note=(
            "Needs OAuth (service account or refresh token), or an app password where the "
            "administrator allows them. The quota is per user."
        ),
    ),
    # https://help.naver.com/service/30029/bookmark/24347 (587 with TLS; application password).
    # The quota is from the project's field notes; no page of Naver's was found that says one.
    Preset(
        name="naver",
        host="smtp.naver.com",
        port=587,
        use_tls=True,
        pool_size=2,
        daily_quota=500,
        note=(
            "Needs an application password (two-step verification on), and IMAP/SMTP switched on "
            "in the mail settings. From must be the account's own address."
        ),
    ),
    # No page of Daum's was found: host and port are those of many public programs, the rest is from
    # https://docs.channel.io/campaignus/ko (which also says 10,000 a day, not taken over).
    Preset(
        name="daum",
        host="smtp.daum.net",
        port=465,
        use_ssl=True,
        pool_size=2,
        note=(
            "Needs an app password (two-step verification on), and IMAP/SMTP switched on in the "
            "mail settings. The user is the Daum ID; From must be the account's own address."
        ),
    ),
    # https://learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements:
    # three connections per mailbox, 30 mails a minute, 10,000 recipients a day. One connection does
    # 30 a minute with ease, and leaves room for two more processes.
    Preset(
        name="microsoft365",
        host="smtp.office365.com",
        port=587,
        use_tls=True,
        pool_size=1,
        daily_quota=10_000,
        note=(
            "Needs OAuth: passwords are being switched off (550 5.7.30). Authenticated SMTP must "
            "be enabled for the mailbox. At most 3 connections per mailbox over all processes, "
            "30 mails a minute; the quota counts recipients."
        ),
    ),
    # https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api
    # (5,000 mails per connection)
    Preset(
        name="sendgrid",
        host="smtp.sendgrid.net",
        port=465,
        use_ssl=True,
        user="apikey",
        headers=MappingProxyType({"X-SMTPAPI": _SENDGRID_OFF}),
        note=(
            "The user is the word apikey, the password an API key with the permission Mail Send. "
            "The quota is the plan's."
        ),
    ),
    # https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html; SES ends a session by 421 after
    # some 350 mails (reported on repost.aws in 2024), hence no more than the usual 90.
    Preset(
        name="ses:REGION",
        host="email-smtp.REGION.amazonaws.com",
        port=465,
        use_ssl=True,
        note=(
            "REGION as in ses:ap-northeast-2. User and password are SMTP credentials of SES, not "
            "an access key. No header stops tracking: send through a configuration set without "
            "open and click tracking. The quota is the account's (200 in the sandbox)."
        ),
    ),
    # https://postmarkapp.com/developer/user-guide/send-email-with-smtp (no 465);
    # https://postmarkapp.com/developer/user-guide/tracking-links
    Preset(
        name="postmark",
        host="smtp.postmarkapp.com",
        port=587,
        use_tls=True,
        headers=MappingProxyType({"X-PM-TrackLinks": "None", "X-PM-TrackOpens": "false"}),
        note=(
            "User and password are both the server's API token. The header stops link tracking; "
            "open tracking that is on for the whole server stays on, switch it off there."
        ),
    ),
    # https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp and
    # .../pass-sending-options
    Preset(
        name="mailgun",
        host="smtp.mailgun.org",
        port=465,
        use_ssl=True,
        headers=MappingProxyType(
            {
                "X-Mailgun-Track": "no",
                "X-Mailgun-Track-Clicks": "no",
                "X-Mailgun-Track-Opens": "no",
            }
        ),
        note=(
            "User and password are SMTP credentials of the domain. For a domain in the EU give "
            "the host smtp.eu.mailgun.org. The quota is the plan's."
        ),
    ),
    # https://github.com/axllent/mailpit
    Preset(
        name="mailpit",
        host="localhost",
        port=1025,
        note="For development: catches every mail, without TLS and login.",
    ),
)

#: By name; the one of SES stands for all regions.
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})


def preset(name: str) -> Preset:
    """Return the preset of that name; `ses:REGION` takes a region of AWS.

    Raises:
        ImproperlyConfigured: there is none; the text names the nearest.
    """
    family, _, region = name.partition(":")
    if family == "ses":
        if not _AWS_REGION.fullmatch(region):
            raise ImproperlyConfigured(
                f"preset {name!r} needs a region of AWS, as in 'ses:ap-northeast-2'"
            )
        general = PRESETS["ses:REGION"]
        return replace(general, name=name, host=general.host.replace("REGION", region))
    if name in PRESETS:
        return PRESETS[name]
    near = get_close_matches(name.lower(), PRESETS, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise ImproperlyConfigured(
        f"there is no preset {name!r}; {meant}known are {', '.join(PRESETS)}"
    )
