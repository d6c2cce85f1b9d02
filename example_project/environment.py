"""Reads the configuration of a process: the real environment, and `.env` where that is silent."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

from django_authmail import ranges
from django_authmail.conf import PREFIX
from django_authmail.exceptions import UnsafeLink
from django_authmail.guards import host_problem, link_path
from example_project.env_file import read_env_file
from example_project.files import keep_new_secret, make_folder
from example_project.mistakes import Mistakes
from example_project.names import NAMES, OWN_PREFIXES, meant_by

BASE_DIR = Path(__file__).resolve().parent.parent

TRUE = frozenset({"1", "true", "yes"})
FALSE = frozenset({"0", "false", "no"})

P = ParamSpec("P")
T = TypeVar("T")


def _reader(
    read: Callable[Concatenate[Environment, str, P], T],
) -> Callable[Concatenate[Environment, str, P], T]:
    """Read a name as if it had no value, where its value is a mistake that is only noted."""

    @wraps(read)
    def reader(env: Environment, name: str, /, *args: P.args, **options: P.kwargs) -> T:
        if env.mistakes is None:
            return read(env, name, *args, **options)
        with env.mistakes:
            return read(env, name, *args, **options)
        return read(env.without(name), name, *args, **options)

    return reader


class Environment:
    """Typed readers over names and values. An empty value is the same as an absent one.

    A mistake is raised as ImproperlyConfigured. With `mistakes`, it is added to them, and its name
    is read as if it had no value.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        *,
        base_dir: Path = BASE_DIR,
        in_file: Collection[str] = (),
        is_whole: bool = True,
        mistakes: Mistakes | None = None,
    ) -> None:
        self._values = values
        self._base_dir = base_dir
        self._in_file = in_file
        #: Whether the file could be read. If not, nobody knows which names have no value.
        self.is_whole = is_whole
        self.mistakes = mistakes

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        base_dir: Path = BASE_DIR,
        mistakes: Mistakes | None = None,
    ) -> Environment:
        """Read `.env` beside manage.py, or the file that ENV_FILE names; the environment wins.

        An empty ENV_FILE reads no file.
        """
        environ = os.environ if environ is None else environ
        given: dict[str, str] | None = None
        with nullcontext() if mistakes is None else mistakes:
            given = read_env_file(environ.get("ENV_FILE"), base_dir, mistakes=mistakes)
        return cls(
            {**(given or {}), **environ},
            base_dir=base_dir,
            in_file=frozenset(given or ()),
            is_whole=given is not None,
            mistakes=mistakes,
        )

    def without(self, name: str) -> Environment:
        """Return this environment where the name has no value."""
        return Environment({**self._values, name: ""}, base_dir=self._base_dir)

    def given(self, name: str) -> bool:
        """Whether the name has a value."""
        return bool(self._values.get(name))

    def text(self, name: str, default: str = "") -> str:
        """Return the value as it is."""
        return self._values.get(name) or default

    @_reader
    def boolean(self, name: str, default: bool) -> bool:
        """Return 1/0, true/false or yes/no, in any case, as a bool."""
        value = self.text(name).strip().lower()
        if not value:
            return default
        if value not in TRUE | FALSE:
            raise ImproperlyConfigured(
                f"{name} is {self.text(name)!r}; it must be 1 or 0, true or false, yes or no."
            )
        return value in TRUE

    @_reader
    def integer(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """Return a whole number within its range."""
        value = self.text(name).strip()
        if not value:
            return default
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            raise ImproperlyConfigured(f"{name} is {value!r}; it must be a whole number, {bounds}.")
        number = int(value)
        if number < least or (most is not None and number > most):
            raise ImproperlyConfigured(f"{name} is {number}; it must be {bounds}.")
        return number

    @_reader
    def csv(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """Return the entries of a comma list, or of a JSON list of strings."""
        value = self.text(name).strip()
        if not value:
            return list(default)
        if value.startswith("[") and value.endswith("]") and '"' in value:
            try:
                entries = json.loads(value)
            except ValueError:
                entries = None
            if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
                raise ImproperlyConfigured(
                    f"{name} must be a comma list or a JSON list of strings."
                )
            return entries
        return [entry.strip() for entry in value.split(",") if entry.strip()]

    @_reader
    def hosts(self, name: str) -> list[str]:
        """Return the hosts of a list, none of which has a port."""
        hosts = self.csv(name)
        if problem := ranges.hosts(hosts):
            raise ImproperlyConfigured(f"{name} {problem}.")
        return hosts

    @_reader
    def choice(self, name: str, default: str, *, choices: Sequence[str]) -> str:
        """Return one of a few words, in any case."""
        value = self.text(name, default).strip().lower()
        if value not in choices:
            raise ImproperlyConfigured(f"{name} is {value!r}; it must be {' or '.join(choices)}.")
        return value

    def path(self, name: str, default: str = "") -> Path | None:
        """Return a path, relative to the folder of manage.py; None where there is no value."""
        value = self.text(name, default)
        return self._base_dir / value if value else None

    @_reader
    def file(self, name: str) -> Path | None:
        """Return the path of a file that can be read; None where there is no value."""
        path = self.path(name)
        if path is not None:
            try:
                path.open("rb").close()
            except OSError as error:
                raise ImproperlyConfigured(
                    f"{name}: {path} cannot be read: {error.strerror}."
                ) from None
        return path

    def folder(self, name: str, default: str) -> Path:
        """Return the path of a folder, which need not be there; see `files`."""
        return self._base_dir / self.text(name, default)

    @_reader
    def mail_host(self, name: str) -> str:
        """Return the name or address of a mail server. Errors do not show it: see `_split`."""
        value = self.text(name).strip()
        if problem := host_problem(value):
            raise ImproperlyConfigured(f"{name} {problem}.")
        return value

    @_reader
    def time_zone(self, name: str, default: str) -> str:
        """Return the name of a time zone."""
        value = self.text(name, default).strip()
        if value != default:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ImproperlyConfigured(
                    f"{name} is {value!r}; it must be the name of a time zone, as Asia/Seoul."
                ) from None
        return value

    def misspelt(self) -> dict[str, str]:
        """Return the names that have a value and that nothing reads, each with the one meant.

        The environment holds the names of many programs: of these, all that begin with one of
        `OWN_PREFIXES`, and those that are near to a name of `NAMES` which has no value itself. The
        file is this project's: of these, all that are near too, and settings of the package. The
        one meant is empty where none is near.
        """
        found = {}
        for name in sorted(self._values):
            if name in NAMES or len(name) < 6 or not self.given(name):
                continue
            meant = meant_by(name)
            if name.startswith(OWN_PREFIXES):
                is_wrong = True
            elif name in self._in_file:
                is_wrong = bool(meant) or name.startswith(PREFIX)
            else:
                is_wrong = bool(meant) and not self.given(meant)
            if is_wrong:
                found[name] = meant
        return found

    @_reader
    def base_url(self, name: str) -> str:
        """Return an absolute http(s) URL; http only to loopback hosts. Links are built on it."""
        value = self.text(name).strip()
        if not value:
            return ""
        url = _split(name, value)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ImproperlyConfigured(f"{name} must be an absolute https:// URL.")
        if url.scheme == "http" and url.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise ImproperlyConfigured(
                f"{name} must be https:// (http:// for loopback hosts only)."
            )
        if url.query or url.fragment or url.username is not None:
            raise ImproperlyConfigured(f"{name} must have no query, fragment or user.")
        return value

    @_reader
    def link_path(self, name: str) -> str:
        """Return a path behind a base URL, in which `{token}` may stand; empty without a value."""
        value = self.text(name).strip()
        if value:
            try:
                link_path(value, name)
            except UnsafeLink as error:
                raise ImproperlyConfigured(f"{error}.") from None
        return value

    @_reader
    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """Return an entry of DATABASES from a sqlite, postgres or mysql URL.

        The query becomes OPTIONS, but for `conn_max_age` and `disable_server_side_cursors`.
        """
        value = self.text(name, default)
        # Its colons are no port, whatever urlsplit makes of them.
        url = _split(name, value.replace("sqlite://:memory:", "sqlite:///:memory:"))
        options = dict(parse_qsl(url.query, keep_blank_values=True))
        # A query per request is cheaper than a connection per request, by far.
        age = f"{name}: conn_max_age"
        seconds = Environment({age: options.pop("conn_max_age", "")}).integer(age, 60)
        common = {"CONN_MAX_AGE": seconds, "CONN_HEALTH_CHECKS": True}
        match url.scheme:
            case "sqlite":
                return {**common, **_sqlite(name, url, options, base_dir=self._base_dir)}
            case "postgres" | "postgresql":
                cursors = _truth(name, options, "disable_server_side_cursors")
                common["DISABLE_SERVER_SIDE_CURSORS"] = cursors
                binds = _truth(name, options, "server_side_binding")
                defaults = {"connect_timeout": 5, "server_side_binding": binds}
                return {**common, **_server(name, url, "postgresql", defaults, options)}
            case "mysql" | "mariadb":
                mysql = {
                    "charset": "utf8mb4",
                    "connect_timeout": 5,
                    "isolation_level": "read committed",
                }
                return {**common, **_server(name, url, "mysql", mysql, options)}
        raise ImproperlyConfigured(
            f"{name} must start with sqlite://, postgres:// or mysql://, not {url.scheme}://."
        )

    @_reader
    def cache(self, name: str, *, default: str = "locmem://") -> dict[str, Any]:
        """Return an entry of CACHES from a locmem, redis, file or dummy URL."""
        value = self.text(name, default)
        url = _split(name, value)
        backends = "django.core.cache.backends"
        match url.scheme:
            case "locmem":
                return {"BACKEND": f"{backends}.locmem.LocMemCache", "LOCATION": url.netloc}
            case "redis" | "rediss":
                # A silent Redis costs a request one second, not its deadline.
                timeouts = {"socket_connect_timeout": 1, "socket_timeout": 1}
                return {
                    "BACKEND": f"{backends}.redis.RedisCache",
                    "LOCATION": value,
                    "KEY_PREFIX": "authmail",
                    "OPTIONS": timeouts,
                }
            case "file" if url.path.strip("/"):
                return {
                    "BACKEND": f"{backends}.filebased.FileBasedCache",
                    "LOCATION": unquote(url.path),
                }
            case "file":
                raise ImproperlyConfigured(f"{name} must name a folder: file:///path/of/it.")
            case "dummy":
                return {"BACKEND": f"{backends}.dummy.DummyCache"}
        raise ImproperlyConfigured(
            f"{name} must start with locmem://, redis://, rediss:// or file://,"
            f" not {url.scheme}://."
        )

    def secret_key(self, data_dir: Path) -> str:
        """Return SECRET_KEY, or the key kept in the data folder, made when first asked for."""
        if self.given("SECRET_KEY"):
            return self.text("SECRET_KEY")
        path = data_dir / "secret_key"
        if not path.exists():
            make_folder(data_dir, name="DATA_DIR")
            keep_new_secret(path)
        key = path.read_text(encoding="ascii").strip()
        if len(key) < 50:
            raise ImproperlyConfigured(
                f"{path} does not hold a key. Remove it to have a new one made, or set SECRET_KEY."
            )
        return key


def _split(name: str, value: str) -> SplitResult:
    """Split a URL. Errors never show it: it may hold a password."""
    try:
        url = urlsplit(value)
        url.port  # noqa: B018 - reading it validates it
    except ValueError:
        raise ImproperlyConfigured(f"{name} is not a valid URL.") from None
    if not url.scheme:
        raise ImproperlyConfigured(f"{name} must be a URL (scheme://…).")
    return url


def _sqlite(
    name: str, url: SplitResult, options: dict[str, str], *, base_dir: Path
) -> dict[str, Any]:
    location = unquote(url.path).removeprefix("/")
    if options:
        raise ImproperlyConfigured(f"{name}: sqlite:// takes no options but conn_max_age.")
    if url.netloc or not location.strip("/"):
        raise ImproperlyConfigured(
            f"{name} must be sqlite:///relative/path or sqlite:////absolute/path."
        )
    path = location if location == ":memory:" else str(base_dir / location)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # A transaction that reads first and writes later fails at once when another one wrote
            # in between; taking the lock at its start makes it wait instead.
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            "init_command": "PRAGMA journal_mode=WAL",
        },
    }


def _truth(name: str, options: dict[str, str], key: str) -> bool:
    """Take a bool out of a URL's options: Django asks whether it is True, which no text is."""
    label = f"{name}: {key}"
    return Environment({label: options.pop(key, "")}).boolean(label, False)


def _server(
    name: str,
    url: SplitResult,
    engine: str,
    defaults: dict[str, Any],
    options: dict[str, str],
) -> dict[str, Any]:
    database = unquote(url.path.removeprefix("/"))
    if not database:
        raise ImproperlyConfigured(f"{name} names no database: scheme://user:password@host/NAME.")
    numbers = {key: int(value) for key, value in options.items() if value.isdecimal()}
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": database,
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": unquote(url.hostname or ""),
        "PORT": str(url.port or ""),
        "OPTIONS": {**defaults, **options, **numbers},
    }
