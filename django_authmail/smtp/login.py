"""How to log in (RFC 4954): PLAIN, LOGIN, CRAM-MD5, and XOAUTH2 with a token.

Nothing here is logged: the lines are passwords, and the server's answers may be challenges.
"""

from __future__ import annotations

import base64
import hmac

from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.replies import Stage, classify
from django_authmail.smtp.wire import Wire, bounded, garbage

# Inside TLS, PLAIN needs one round trip less; without it, CRAM-MD5 hides the password.
_SAFE = ("PLAIN", "LOGIN", "CRAM-MD5")
_CLEAR = ("CRAM-MD5", "PLAIN", "LOGIN")


def log_in(wire: Wire, config: SmtpConfig, offered: str) -> str:
    """Log in by one of the methods that the server `offered`, and return its name.

    Raises:
        SmtpFailure: the server refused, or offers nothing that is known.
    """
    methods = offered.upper().split()
    if config.token_provider is not None:
        return _log_in_by_token(wire, config, methods)
    known = _SAFE if wire.tls_version else _CLEAR
    method = next((name for name in known if name in methods), None)
    if method is None:
        raise _no_method(methods, known)
    reply = {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5}[method](
        wire, config.user, str(config.password)
    )
    if reply.code != 235:
        raise SmtpFailure(classify(reply, Stage.AUTH))
    return method


def _plain(wire: Wire, user: str, password: str) -> Reply:
    return _say(wire, "AUTH PLAIN " + _base64(f"\0{user}\0{password}"))


def _login(wire: Wire, user: str, password: str) -> Reply:
    reply = _say(wire, "AUTH LOGIN " + _base64(user))
    return _say(wire, _base64(password)) if reply.code == 334 else reply


def _cram_md5(wire: Wire, user: str, password: str) -> Reply:
    reply = _say(wire, "AUTH CRAM-MD5")
    if reply.code != 334:
        return reply
    try:
        challenge = base64.b64decode(reply.text, validate=True)
    except ValueError:
        raise garbage("the server's login challenge is no base64") from None
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()  # RFC 2195
    return _say(wire, _base64(f"{user} {digest}"))


def _log_in_by_token(wire: Wire, config: SmtpConfig, methods: list[str]) -> str:
    provider = config.token_provider
    if provider is None or "XOAUTH2" not in methods:
        raise _no_method(methods, ("XOAUTH2",))
    token = bounded(provider.token, wire.deadline)
    reply = _xoauth2(wire, config.user, token)
    if reply.code == 535:
        # The token may have been revoked before its time. One fresh one, and no more: a server
        # that counts failures locks the account.
        fresh = bounded(lambda: provider.refresh(token), wire.deadline)
        reply = _xoauth2(wire, config.user, fresh)
    if reply.code != 235:
        raise SmtpFailure(classify(reply, Stage.AUTH))
    return "XOAUTH2"


def _xoauth2(wire: Wire, user: str, token: str) -> Reply:
    reply = _say(wire, "AUTH XOAUTH2 " + _base64(f"user={user}\1auth=Bearer {token}\1\1"))
    # A refusal comes as a challenge with its reason in it; an empty answer gets the real reply.
    return _say(wire, "") if reply.code == 334 else reply


def _say(wire: Wire, line: str) -> Reply:
    wire.write(line.encode("ascii") + b"\r\n")
    return wire.read()[0]


def _no_method(offered: list[str], known: tuple[str, ...]) -> SmtpFailure:
    said = " ".join(offered) or "no login at all"
    return SmtpFailure(
        Failure(
            error_code=ErrorCode.SMTP_AUTH_FAILED,
            reason=Reason.AUTH_FAILED,
            retry=Retry.CARRIER,
            detail=f"the server offers {said}; known here are {', '.join(known)}",
        )
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
