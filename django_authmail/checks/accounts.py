"""Checks of the mail accounts: hosts, TLS, logins, options and files."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.smtp import EmailBackend as DjangoSMTP
from django.utils.module_loading import import_string

from django_authmail import mailers
from django_authmail.checks.found import Apps, Found, new_error, new_warning, unknown_option
from django_authmail.conf import EMAIL_NAMES, Conf, conf
from django_authmail.guards import host_problem, port_problem
from django_authmail.smtp import EmailBackend
from django_authmail.smtp.presets import preset


def check_mailers(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at the options of each SMTP account that this package sends by."""
    return [message for alias, given in smtp_mailers() for message in _mailer(alias, given)]


def check_files(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look whether the certificate files that the settings name can be read."""
    found: Found = []
    for where, path, is_authority in _certificate_files():
        if problem := _file_problem(path, is_authority=is_authority):
            found.append(
                new_error(
                    "E012",
                    f"{where} is {path!r}, {problem}.",
                    "Correct the path; the user that this process runs as must be able to read "
                    "the file. A relative path counts from where the process was started.",
                )
            )
    return found


def smtp_mailers() -> Iterator[tuple[str, mailers.MailerOptions]]:
    """Yield the SMTP accounts that this package sends by: ours, and those that settings name."""
    if Conf.smtp_options.problem():
        return  # E001 says so
    for alias in mailers.names():
        given = mailers.options(alias)
        # Where there is only EMAIL_*, an outbox delivers by the account that EMAIL_* names.
        ours = given.backend == mailers.OUR_SMTP or (
            given.backend == mailers.OUTBOX and conf.mailers is None
        )
        named = alias in ("default", *_carriers())
        if ours or (named and _is_smtp(given.backend)):
            yield alias, given


def _carriers() -> tuple[str, ...]:
    return () if Conf.deliver_using.problem() else conf.deliver_using


def _is_smtp(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False  # E008 or Django itself says so
    return inspect.isclass(backend) and issubclass(backend, DjangoSMTP)


def _certificate_files() -> Iterator[tuple[str, str, bool]]:
    """Yield where each file is named, its path, and whether it holds authorities."""
    if not Conf.smtp_ca_file.problem() and conf.smtp_ca_file:
        yield Conf.smtp_ca_file.name, conf.smtp_ca_file, True
    if not Conf.webhook_ca_file.problem() and conf.webhook_ca_file:
        yield Conf.webhook_ca_file.name, conf.webhook_ca_file, True
    for alias, given in smtp_mailers():
        for option in ("ca_file", "ssl_certfile", "ssl_keyfile"):
            if path := given.options.get(option):
                yield place(alias, option), str(path), option == "ca_file"


def _file_problem(path: str, *, is_authority: bool) -> str | None:
    try:
        with open(path, "rb"):
            pass
        if is_authority:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "which holds no certificate in PEM form"
    except OSError as error:
        return f"which cannot be read: {error.strerror}"
    return None


def _mailer(alias: str, given: mailers.MailerOptions) -> Iterator[checks.CheckMessage]:
    if conf.mailers is None or _is_ours(given.backend):
        unknown = (
            EmailBackend.misplaced_options()
            if conf.mailers is None
            else EmailBackend.unknown_options(given.options)
        )
        for name, near in unknown.items():
            yield unknown_option(_option(alias, name), mailers.OUR_SMTP, near)
        try:
            given = _with_preset(given)
        except ImproperlyConfigured as error:
            problem = f"{_option(alias, 'preset')}: {error}."
            yield new_error("E014", problem, "docs/smtp-presets.md describes them.")
            return
    yield from _account(alias, given)


def _is_ours(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False
    return inspect.isclass(backend) and issubclass(backend, EmailBackend)


def _with_preset(given: mailers.MailerOptions) -> mailers.MailerOptions:
    """Return the options with what their preset fills in."""
    name = given.options.get("preset")
    if not name:
        return given
    filled = preset(str(name)).options(given.options)
    return replace(
        given,
        host=filled["host"] or "",
        port=filled["port"],
        user=given.user or filled.get("user", ""),
        use_tls=bool(filled["use_tls"]),
        use_ssl=bool(filled["use_ssl"]),
    )


def _account(alias: str, given: mailers.MailerOptions) -> Iterator[checks.CheckMessage]:
    host, user, password = (place(alias, o) for o in ("host", "username", "password"))
    use_tls, use_ssl = (place(alias, o) for o in ("use_tls", "use_ssl"))
    modes = f"{use_tls} (STARTTLS, port 587) or {use_ssl} (TLS from the start, port 465)"
    if not given.host:
        yield new_error("E004", f"{host} is empty: there is no server to send by.", f"Set {host}.")
    problems = {
        host: host_problem(given.host) if given.host else None,
        place(alias, "port"): None if given.port is None else port_problem(given.port),
    }
    for where, problem in problems.items():
        if problem:
            hint = "A host is a name, as smtp.example.com; a port a number, 587 with STARTTLS."
            yield new_error("E016", f"{where} {problem}.", hint)
    if given.use_tls and given.use_ssl:
        yield new_error(
            "E005", f"{use_tls} and {use_ssl} exclude each other.", f"Set one of them: {modes}."
        )
    by_token = bool(given.options.get("oauth")) and bool(given.user)
    if bool(given.user) != bool(given.password) and not by_token:
        there, missing = (user, password) if given.user else (password, user)
        yield new_error(
            "E007",
            f"{there} is set and {missing} is not: nobody can log in with that.",
            f"Set {missing}, or remove {there} to send without login.",
        )
    elif given.user and not (given.use_tls or given.use_ssl):
        allowed = given.options.get("allow_cleartext_auth", conf.smtp_allow_cleartext_auth)
        problem = f"{password} would cross the network readable: neither TLS mode is on."
        if allowed:
            hint = f"Set {modes}, unless the whole way to the server is your own."
            yield new_warning("W003", problem, hint)
        else:
            yield new_error("E006", problem, f"Set {modes}.")
    other = {465: use_ssl, 587: use_tls}.get(given.port or 0)
    fits = {465: not given.use_tls, 587: not given.use_ssl}.get(given.port or 0, True)
    if not fits:
        port = place(alias, "port")
        yield new_warning(
            "W004",
            f"{port} is {given.port}, which does not fit the TLS mode: connecting would hang or "
            "fail.",
            f"With port {given.port}, set {other}.",
        )


def place(alias: str, option: str) -> str:
    """Return what the person who fixes it has to look for."""
    if conf.mailers is None and option in EMAIL_NAMES:
        return EMAIL_NAMES[option]
    return _option(alias, option)


def _option(alias: str, name: str) -> str:
    where = "AUTHMAIL_SMTP_OPTIONS" if conf.mailers is None else f'MAILERS[{alias!r}]["OPTIONS"]'
    return f'{where}["{name}"]'
