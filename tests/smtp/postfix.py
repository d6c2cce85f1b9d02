"""Postfix with Dovecot's login, as Debian packages them: a real server, for one test session.

Everything is in one folder and on free loopback ports, so that several sessions can run at a time.
No mail can leave the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from example_project.certificates import ServerCertificate, make_certificate
from tests.services import missing, require_program
from tests.smtp_server import free_port

USER = "sender"
PASSWORD = "s3cret"
#: Recipients that this server refuses; every other one at example.com and example.org is accepted.
REFUSED = "nobody@example.com"
DEFERRED = "later@example.com"
MESSAGE_SIZE_LIMIT = 1_048_576
PACKAGES = ("postfix", "dovecot-core")

_START_SECONDS = 30.0

_SMTPD_LINE = re.compile(r"smtpd\[(\d+)\]: (?:(connect from)|([0-9A-F]+): client=)")


@dataclass(frozen=True, kw_only=True)
class Postfix:
    folder: Path
    submission_port: int
    submissions_port: int
    certificate: ServerCertificate
    #: What has been read of the Maildir, by file: thousands of mails are not parsed twice.
    _parsed: dict[Path, EmailMessage] = field(default_factory=dict)

    def options(self, *, implicit_tls: bool = False, **changes: Any) -> dict[str, Any]:
        """Keywords for `SmtpConfig`, by STARTTLS (587) or TLS from the start (465)."""
        return {
            "host": "localhost",
            "port": self.submissions_port if implicit_tls else self.submission_port,
            "user": USER,
            "password": PASSWORD,
            "from_addr": "a@example.org",
            "use_tls": not implicit_tls,
            "use_ssl": implicit_tls,
            "ca_file": str(self.certificate.ca_file),
            **changes,
        }

    def mail(self, message_id: str, seconds: float = 30) -> EmailMessage:
        """Wait for the mail in the Maildir and return it."""
        return self.mails([message_id], seconds)[message_id]

    def mails(self, message_ids: list[str], seconds: float = 30) -> dict[str, EmailMessage]:
        """Wait until each has been delivered; fail if one was, twice."""
        wanted = set(message_ids)
        end = time.monotonic() + seconds
        while True:
            found = self._read(wanted)
            if found.keys() == wanted:
                return found
            if time.monotonic() > end:
                raise AssertionError(
                    f"{len(wanted - found.keys())} mails did not arrive:\n{self.log()[-3000:]}"
                )
            time.sleep(0.05)  # Postfix tells nobody when it has delivered

    def sessions(self, queue_ids: set[str], seconds: float = 30) -> int:
        """Wait until the log has each mail, and return how many connections carried them."""
        end = time.monotonic() + seconds
        while True:
            latest: dict[str, int] = {}  # the session of each process: it serves one at a time
            carrying: dict[str, tuple[str, int]] = {}
            for process, connected, queue_id in _SMTPD_LINE.findall(self.log()):
                if connected:
                    latest[process] = latest.get(process, 0) + 1
                elif queue_id in queue_ids:
                    carrying[queue_id] = (process, latest[process])
            if carrying.keys() == queue_ids:
                return len(set(carrying.values()))
            if time.monotonic() > end:
                raise AssertionError(f"{len(queue_ids - carrying.keys())} mails not in the log")
            time.sleep(0.05)  # the log is written by a process of its own, a little later

    def log(self) -> str:
        path = self.folder / "postfix.log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def _files(self) -> list[Path]:
        return list((self.folder / "mail" / "all" / "new").glob("*"))

    def _read(self, wanted: set[str]) -> dict[str, EmailMessage]:
        found: dict[str, EmailMessage] = {}
        for path in self._files():
            if path not in self._parsed:
                octets = path.read_bytes()
                self._parsed[path] = message_from_bytes(octets, policy=policy.default)
            mail = self._parsed[path]
            message_id = str(mail["Message-ID"])
            if message_id not in wanted:
                continue
            if message_id in found:
                raise AssertionError(f"{message_id} arrived twice")
            found[message_id] = mail
        return found


@contextmanager
def running() -> Iterator[Postfix]:
    """Run a server while the block runs; skip, or fail, where it cannot (`tests.services`)."""
    # The daemons are in sbin, which a user's PATH may lack.
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    postfix = require_program("postfix", variable="AUTHMAIL_TEST_POSTFIX")
    dovecot = require_program("dovecot", variable="AUTHMAIL_TEST_DOVECOT")
    if os.geteuid() != 0:
        missing("Postfix can be started by root only; run the tests as root")
    # Not below pytest's folder: that one is closed to the other users Postfix runs as.
    folder = Path(tempfile.mkdtemp(prefix="authmail-postfix-"))
    try:
        certificate = make_certificate(folder)
        server = Postfix(
            folder=folder,
            submission_port=free_port(),
            submissions_port=free_port(),
            certificate=certificate,
        )
        _write(server)
        with _one_at_a_time():
            # Postfix first: it makes the folder for the socket through which Dovecot answers.
            failed = run(postfix, "-c", str(folder / "conf"), "start", check=False)
        try:
            if failed:
                raise AssertionError(f"Postfix did not start:\n{server.log()}")
            run(dovecot, "-c", str(folder / "dovecot.conf"))
            _wait_for(server)
            yield server
        finally:
            # Before its folder goes: it would start over for ever without its files. Not `stop`,
            # which sleeps for seconds.
            run(postfix, "-c", str(folder / "conf"), "abort", check=False)
            # Nor `doveadm stop`.
            with contextlib.suppress(OSError):
                master = (folder / "dovecot" / "run" / "master.pid").read_text()
                os.kill(int(master), signal.SIGTERM)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    # `postfix start` checks and mends the permissions of files that every instance shares.
    with open(Path(tempfile.gettempdir()) / "authmail-postfix.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str, check: bool = True) -> int:
    # No pipes: the daemons keep what they inherit, and who reads it would wait for their end.
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=check,
    )
    return done.returncode


def _wait_for(server: Postfix) -> None:
    end = time.monotonic() + _START_SECONDS
    for port in (server.submission_port, server.submissions_port):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise AssertionError(f"nothing on port {port}:\n{server.log()}") from None
                time.sleep(0.05)


def _write(server: Postfix) -> None:
    folder, nobody = server.folder, pwd.getpwnam("nobody")
    for name in ("conf", "queue", "data", "mail", "dovecot"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    os.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    (folder / "dovecot.conf").write_text(_DOVECOT.format(folder=folder))
    (folder / "conf" / "main.cf").write_text(
        _MAIN.format(
            folder=folder,
            certificate=server.certificate.certificate_file,
            key=server.certificate.key_file,
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
            refused=REFUSED,
            deferred=DEFERRED,
            limit=MESSAGE_SIZE_LIMIT,
        )
    )
    (folder / "conf" / "master.cf").write_text(
        _MASTER.format(submission=server.submission_port, submissions=server.submissions_port)
    )


_DOVECOT = """\
base_dir = {folder}/dovecot/run
state_dir = {folder}/dovecot/state
log_path = {folder}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
# A wrong password is answered at once; the default waits for two seconds.
auth_failure_delay = 0 secs
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {folder}/queue/private/auth {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
service anvil {{
  chroot =
  # No growing delay after wrong passwords from one address: every test has the same one.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = /
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = localhost
mydestination =
mynetworks =
local_recipient_maps =
virtual_mailbox_domains = example.org, example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
default_transport = error:5.1.2 no route off this host
relay_transport = error:5.1.2 no route off this host
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
  check_recipient_access inline:{{
    {{{refused} = 550 5.1.1 no such user}}, {{{deferred} = 450 4.2.1 try later}} }},
  permit_sasl_authenticated, reject
smtputf8_enable = yes
# Long enough to tell it from a machine that is busy.
smtpd_error_sleep_time = 20s
in_flow_delay = 0
message_size_limit = {limit}
"""

_MASTER = """\
127.0.0.1:{submission} inet n - n - - smtpd
127.0.0.1:{submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
showq unix n - n - - showq
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
"""
