"""Which option was meant by a name that is none: what others call it, or the nearest one."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

#: What options of a mail account are called elsewhere: by Django's settings, `smtplib`, `ssl`,
#: aiosmtplib, Flask-Mail, fastapi-mail, Nodemailer, clients of Redis and Kafka. Without case,
#: underscores, and what `_PREFIX` takes away. One that means different things there is not in it.
_ELSEWHERE = {
    "host": "hostname server",
    "username": "user hostuser authuser login",
    "password": "pass passwd hostpassword authpassword",
    "use_tls": "tls starttls usestarttls requiretls",
    "use_ssl": "ssl ssltls smtps",
    "timeout": "sockettimeout connecttimeout connectiontimeout greetingtimeout",
    "ca_file": "ca cacert cacerts cafile cabundle certbundle sslca sslcafile sslcacert sslcacerts",
    "ssl_certfile": "cert certfile clientcert sslcert",
    "ssl_keyfile": "keyfile clientkey sslkey",
    "min_tls": "mintlsversion minversion sslminversion sslversion tlsversion",
    "opportunistic": "opportunistictls",
    "local_hostname": "ehlo fqdn helo heloname",
    "source_address": "bindaddress localaddress",
    "from_addr": "defaultfrom defaultfromemail defaultsender from fromemail sender",
    "envelope_sender": "bounceaddress returnpath",
    "pool_size": "maxconnections pool",
    "max_mails": "maxemails maxmessages",
    "oauth": "accesstoken oauth2 tokenprovider xoauth2",
    "preset": "service",
    "debug": "debuglevel setdebuglevel",
}
_PREFIX = re.compile("(email|mail|smtp)(?=.)")
_MEANT = {name: option for option, names in _ELSEWHERE.items() for name in names.split()}


def option_meant(name: str, known: Collection[str]) -> str:
    """Return which of the options `known` was meant by `name`; empty where nobody can say."""
    bare = _PREFIX.sub("", _bare(name), count=1)
    spelled = {_bare(option): option for option in known}
    for option in (spelled.get(bare, ""), _MEANT.get(bare, "")):
        if option in known:
            return option
    return "".join(get_close_matches(name, known, n=1))


def _bare(name: str) -> str:
    return name.lower().replace("_", "")
