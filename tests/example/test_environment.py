"""What the readers of the environment accept, and what they say of the rest."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from example_project.env_file import parse_env_file
from example_project.environment import Environment
from example_project.files import make_folder
from example_project.mistakes import Mistakes
from example_project.names import NAMES

SECRET = "pa55-w0rd"


def environment(base_dir: Path = Path("/base"), **values: str) -> Environment:
    return Environment(values, base_dir=base_dir)


# -- .env ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("  export  A = 1  ", {"A": "1"}),
        ("# A=1\n\n   \n\t# x\nB=2", {"B": "2"}),
        ("A=", {"A": ""}),
        ("A=\nB=2", {"A": "", "B": "2"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=x # comment", {"A": "x"}),
        ("A=x#y", {"A": "x#y"}),
        ("A=#y", {"A": "#y"}),
        ("A=a=b==", {"A": "a=b=="}),
        ("A=p$a${b}$$", {"A": "p$a${b}$$"}),
        ("A=it's", {"A": "it's"}),
        ("A='x # y' # z", {"A": "x # y"}),
        ('A="x # y"#z', {"A": "x # y"}),
        (r"A='it\'s \n'", {"A": r"it's \n"}),
        (r'A="a\"b\\c\n\$"', {"A": 'a"b\\c\n$'}),
        ("A='one\ntwo'\nB=2", {"A": "one\ntwo", "B": "2"}),
        ("A=홍길동 <a@example.com>", {"A": "홍길동 <a@example.com>"}),
    ],
)
def test_env_file(text: str, values: dict[str, str]) -> None:
    assert parse_env_file(text) == values


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"A=1\n{SECRET}", 2),
        (f"A='{SECRET}", 1),
        (f'\n\nA="{SECRET}\nB=2', 3),
        (f"A='x' {SECRET}", 1),
        (f"1A={SECRET}", 1),
        (f"A='x\ny'\n-={SECRET}", 3),
        (f"{SECRET}\nB=2", 1),
    ],
)
def test_env_file_error_names_the_line_and_shows_no_content(text: str, line: int) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"\.env, line {line}: ") as caught:
        parse_env_file(text)
    assert SECRET not in str(caught.value)


def test_the_real_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SMTP_HOST=from-file\nSMTP_PORT=25\nPORT=9000\n")
    env = Environment.load({"SMTP_HOST": "from-environment", "PORT": ""}, base_dir=tmp_path)

    assert env.text("SMTP_HOST") == "from-environment"
    assert env.integer("SMTP_PORT", 587) == 25
    # Empty in the environment is said by the environment too: the default, not the file.
    assert env.integer("PORT", 8000) == 8000


def test_env_file_chooses_another_file_or_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=default")
    (tmp_path / "other").write_text("A=other")

    assert Environment.load({}, base_dir=tmp_path).text("A") == "default"
    assert Environment.load({"ENV_FILE": "other"}, base_dir=tmp_path).text("A") == "other"
    assert Environment.load({"ENV_FILE": ""}, base_dir=tmp_path).text("A") == ""
    with pytest.raises(ImproperlyConfigured, match="ENV_FILE: there is no file"):
        Environment.load({"ENV_FILE": "missing"}, base_dir=tmp_path)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(ImproperlyConfigured, match="not UTF-8"):
        Environment.load({}, base_dir=tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        Environment.load({"ENV_FILE": "folder"}, base_dir=tmp_path)


def test_the_example_file_parses_and_lists_every_name() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    assert parse_env_file(text)["SMTP_PORT"] == "587"
    of_the_demo = {"DEMO_INBOX_DIR", "DEMO_WEBHOOKS_DIR"}
    missing = [name for name in {*NAMES} - of_the_demo if f"{name}=" not in text]
    assert missing == []


# -- single values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "True", "yes", "YES", " yes "])
def test_true(value: str) -> None:
    assert environment(X=value).boolean("X", False) is True


@pytest.mark.parametrize("value", ["0", "false", "FALSE", "no", "No"])
def test_false(value: str) -> None:
    assert environment(X=value).boolean("X", True) is False


@pytest.mark.parametrize("value", ["on", "off", "2", "y", "t", "maybe", "-1", "참"])
def test_anything_else_is_no_boolean(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"^X is '{value}'; it must be 1 or 0"):
        environment(X=value).boolean("X", False)


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("values", [{}, {"X": ""}, {"X": "  "}])
def test_no_boolean_is_the_default(values: dict[str, str], default: bool) -> None:
    assert Environment(values).boolean("X", default) is default


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("25", 25), (" 465 ", 465), ("+1", 1)])
def test_integer(value: str, number: int) -> None:
    assert environment(X=value).integer("X", 7) == number


@pytest.mark.parametrize("value", ["x", "1.5", "1e3", "0x10", "1_000", "٣", "-", "9" * 5000])
def test_no_integer(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^X is .* it must be a whole number"):
        environment(X=value).integer("X", 7)


@pytest.mark.parametrize("value", ["0", "-1", "65536"])
def test_integer_out_of_range(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^X is {value}; it must be from 1 to 65535"):
        environment(X=value).integer("X", 7, least=1, most=65535)


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        (",a,,", ["a"]),
        ("localhost,[::1]", ["localhost", "[::1]"]),
        ("[::1]", ["[::1]"]),
        ('["a", "b"]', ["a", "b"]),
        ("", ["default"]),
    ],
)
def test_csv(value: str, entries: list[str]) -> None:
    assert environment(X=value).csv("X", ("default",)) == entries


@pytest.mark.parametrize("value", ['["a" "b"]', '["a", 1]', '["a",]'])
def test_csv_that_is_broken_json(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^X must be a comma list or a JSON list"):
        environment(X=value).csv("X")


def test_choice() -> None:
    assert environment(X="JSON").choice("X", "text", choices=("text", "json")) == "json"
    assert environment().choice("X", "text", choices=("text", "json")) == "text"
    with pytest.raises(ImproperlyConfigured, match="^X is 'xml'; it must be text or json"):
        environment(X="xml").choice("X", "text", choices=("text", "json"))


@pytest.mark.parametrize(
    "value",
    [
        "https://app.example.com",
        "https://app.example.com/base/",
        "http://localhost:3000",
        "http://127.0.0.1",
        "http://[::1]:3000",
        "",
    ],
)
def test_base_url(value: str) -> None:
    assert environment(X=value).base_url("X") == value


@pytest.mark.parametrize(
    "value",
    [
        "app.example.com",
        "/path",
        "https://",
        "ftp://app.example.com",
        "javascript:alert(1)",
        "http://app.example.com",
        "http://localhost.example.com",
        "https://app.example.com/?a=b",
        "https://app.example.com/#x",
        "https://user@app.example.com",
        "https://app.example.com:port",
        "https://[::1",
    ],
)
def test_no_base_url(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^X "):
        environment(X=value).base_url("X")


@pytest.mark.parametrize("path", ["/login", "/login/{token}/", ""])
def test_link_path(path: str) -> None:
    assert environment(X=f" {path} ").link_path("X") == path


@pytest.mark.parametrize(
    "path", ["login", "//evil.example", "https://a.example/x", "/a?b", "/../a"]
)
def test_no_link_path(path: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^X must be a path that begins with one /"):
        environment(X=path).link_path("X")


def test_mistakes_are_collected_and_their_names_read_as_if_they_had_no_value() -> None:
    mistakes = Mistakes()
    env = Environment({"PORT": "x", "TIME_ZONE": "y", "A": "1"}, mistakes=mistakes)

    assert env.integer("PORT", 8000) == 8000
    assert env.time_zone("TIME_ZONE", "Asia/Seoul") == "Asia/Seoul"
    assert env.integer("A", 2) == 1
    assert [mistake.split()[0] for mistake in mistakes] == ["PORT", "TIME_ZONE"]
    with pytest.raises(ImproperlyConfigured, match="^2 mistakes in the environment:\n  PORT is "):
        mistakes.stop_if_any()


def test_only_mistakes_are_collected() -> None:
    mistakes = Mistakes()
    with pytest.raises(ZeroDivisionError), mistakes:
        1 / 0  # noqa: B018 - it raises
    mistakes.stop_if_any()
    with mistakes:
        raise ImproperlyConfigured("PORT is wrong.")
    with pytest.raises(ImproperlyConfigured, match=r"^PORT is wrong\.$"):
        mistakes.stop_if_any()


def test_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = environment(tmp_path, X="a/b").folder("X", "unused")

    assert folder == tmp_path / "a" / "b"
    assert not folder.exists()
    make_folder(folder, name="X")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(ImproperlyConfigured, match="^X: .* is no folder"):
        make_folder(tmp_path / "file", name="X")


def test_a_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    assert environment(tmp_path, X="ca.pem").file("X") == tmp_path / "ca.pem"
    assert environment(tmp_path).file("X") is None
    with pytest.raises(ImproperlyConfigured, match=r"^X: .*no\.pem cannot be read: No such file"):
        environment(tmp_path, X="no.pem").file("X")


@pytest.mark.parametrize("host", ["mail", "smtp.example.com", "127.0.0.1", "::1", "메일.example"])
def test_mail_host(host: str) -> None:
    assert environment(X=f" {host} ").mail_host("X") == host


@pytest.mark.parametrize(
    "host",
    [f"smtp://{SECRET}", f"me:{SECRET}@mail", "mail:587", "mail/", "a..b", "a b", "a" * 70],
)
def test_no_mail_host(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^X ") as caught:
        environment(X=host).mail_host("X")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"SMTP_PASS": "x"}, {"SMTP_PASS": "SMTP_PASSWORD"}),
        ({"SMTP_USERNAME": "x"}, {"SMTP_USERNAME": "SMTP_USER"}),
        ({"SMTP_TLS": "x"}, {"SMTP_TLS": "SMTP_USE_TLS"}),
        ({"EMAIL_SERVICE_DEBG": "1"}, {"EMAIL_SERVICE_DEBG": "EMAIL_SERVICE_DEBUG"}),
        ({"DATABASE_URI": "x"}, {"DATABASE_URI": "DATABASE_URL"}),
        ({"AUTHMAIL_API_DOCS": "no"}, {"AUTHMAIL_API_DOCS": "API_DOCS"}),
        ({"AUTHMAIL_URL": "x", "AUTHMAIL_CHAOS_SEED": "x"}, {}),
        ({"SMTP_PASSWORT": "x"}, {"SMTP_PASSWORT": "SMTP_PASSWORD"}),
        ({"API_RATE_LIMIT": "3"}, {"API_RATE_LIMIT": "API_RATE_LIMIT_PER_MINUTE"}),
        ({"WEBHOOK_ALLOW_HOST": "x"}, {"WEBHOOK_ALLOW_HOST": "WEBHOOK_ALLOW_HOSTS"}),
        ({"MAGIC_LINK_URL": "x"}, {"MAGIC_LINK_URL": "MAGIC_LINK_BASE_URL"}),
        ({"METRICS_ENABLE": "1"}, {"METRICS_ENABLE": "METRICS_ENABLED"}),
        # Near to none.
        ({"SMTP_TIMEOUT": "30"}, {"SMTP_TIMEOUT": ""}),
        ({"SMTP_SERVER": "x"}, {"SMTP_SERVER": ""}),
        ({"EMAIL_SERVICE_WORKERS": "4"}, {"EMAIL_SERVICE_WORKERS": ""}),
        ({"METRICS_PORT": "9"}, {"METRICS_PORT": ""}),
        # That the right name has a value does not excuse the wrong one.
        ({"SMTP_PASSWORT": "x", "SMTP_PASSWORD": "y"}, {"SMTP_PASSWORT": "SMTP_PASSWORD"}),
        ({"SMTP_TIMEOUT": "30", "SMTP_PORT": "25"}, {"SMTP_TIMEOUT": ""}),
        # Has no value, or its name has one and it may be another program's.
        ({"SMTP_PASS": ""}, {}),
        ({"DATABASE_URI": "x", "DATABASE_URL": "y"}, {}),
        ({"HOSTNAME": "x", "PATH": "x", "LANGUAGE": "x", "TZ": "x", "PWD": "x"}, {}),
    ],
)
def test_names_that_were_mistyped(given: dict[str, str], meant: dict[str, str]) -> None:
    assert Environment(given).misspelt() == meant


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("AUTHMAIL_LINK_BASE_URL=x", {"AUTHMAIL_LINK_BASE_URL": "MAGIC_LINK_BASE_URL"}),
        ("AUTHMAIL_LOG_FORMAT=json", {"AUTHMAIL_LOG_FORMAT": "EMAIL_SERVICE_LOG_FORMAT"}),
        ("AUTHMAIL_METRIC_ENABLED=1", {"AUTHMAIL_METRIC_ENABLED": "METRICS_ENABLED"}),
        # Its own, and this project has no name for it.
        ("AUTHMAIL_SENDERS=x", {"AUTHMAIL_SENDERS": ""}),
        ("AUTHMAIL_URL=x", {"AUTHMAIL_URL": ""}),
        # The file is this project's: that the right name has a value does not excuse the wrong one.
        ("SMTP_HOSTT=x", {"SMTP_HOSTT": "SMTP_HOST"}),
        ("SMTP_HOSTT=", {}),
        ("POSTGRES_PASSWORD=x\nCOMPOSE_PROJECT_NAME=x\nTZ=x", {}),
    ],
)
def test_names_that_were_mistyped_in_the_file(
    tmp_path: Path, line: str, meant: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text(f"SMTP_HOST=mail\n{line}\n")
    env = Environment.load({"DATABASE_URI": "x", "DATABASE_URL": "y"}, base_dir=tmp_path)
    assert env.misspelt() == meant


# -- databases -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///var/db.sqlite3", "/base/var/db.sqlite3"),
        ("sqlite:////srv/db.sqlite3", "/srv/db.sqlite3"),
        ("sqlite:////srv/a%20b%3F.sqlite3", "/srv/a b?.sqlite3"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_sqlite(url: str, name: str) -> None:
    database = environment(X=url).database("X", default="")

    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == name
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert database["OPTIONS"]["timeout"] == 10
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://user:p%40ss%2Fword@db.example.com:5433/mail",
            {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "mail",
                "USER": "user",
                "PASSWORD": "p@ss/word",
                "HOST": "db.example.com",
                "PORT": "5433",
                "CONN_MAX_AGE": 60,
                "CONN_HEALTH_CHECKS": True,
                "DISABLE_SERVER_SIDE_CURSORS": False,
                "OPTIONS": {"connect_timeout": 5, "server_side_binding": False},
            },
        ),
        (
            "postgresql://db/mail?sslmode=require&connect_timeout=2&conn_max_age=0",
            {
                "ENGINE": "django.db.backends.postgresql",
                "USER": "",
                "PORT": "",
                "CONN_MAX_AGE": 0,
                "OPTIONS": {
                    "connect_timeout": 2,
                    "server_side_binding": False,
                    "sslmode": "require",
                },
            },
        ),
        (
            "mysql://root@127.0.0.1/mail",
            {
                "ENGINE": "django.db.backends.mysql",
                "NAME": "mail",
                "USER": "root",
                "PASSWORD": "",
                "OPTIONS": {
                    "charset": "utf8mb4",
                    "connect_timeout": 5,
                    "isolation_level": "read committed",
                },
            },
        ),
    ],
)
def test_database_servers(url: str, expected: dict[str, Any]) -> None:
    database = environment(X=url).database("X", default="")

    assert {key: database[key] for key in expected} == expected


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("0", False), ("", False)])
def test_what_django_asks_whether_it_is_true(text: str, value: bool) -> None:
    url = f"postgres://h/db?server_side_binding={text}&disable_server_side_cursors={text}"
    database = environment(X=url).database("X", default="")

    assert database["OPTIONS"]["server_side_binding"] is value
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is value


@pytest.mark.parametrize(
    "url",
    [
        f"oracle://u:{SECRET}@h/db",
        f"postgres://u:{SECRET}@h",
        f"postgres://u:{SECRET}@h:port/db",
        f"postgres://u:{SECRET}@[::1/db",
        f"sqlite:///x?server_side_binding=1&password={SECRET}",
        "sqlite://db.sqlite3",
        "sqlite:///",
        "sqlite:///x?timeout=3",
        f"/just/a/path-{SECRET}",
    ],
)
def test_no_database_url(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^DATABASE_URL") as caught:
        environment(DATABASE_URL=url).database("DATABASE_URL", default="")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("conn_max_age=x", "DATABASE_URL: conn_max_age is 'x'; it must be a whole number"),
        ("server_side_binding=on", "DATABASE_URL: server_side_binding is 'on'; it must be 1 or 0"),
        (
            "disable_server_side_cursors=2",
            "DATABASE_URL: disable_server_side_cursors is '2'; it must be 1 or 0",
        ),
    ],
)
def test_an_option_of_a_database_url_that_is_wrong(query: str, message: str) -> None:
    url = f"postgres://u:{SECRET}@h/db?{query}"
    with pytest.raises(ImproperlyConfigured, match=f"^{message}") as caught:
        environment(DATABASE_URL=url).database("DATABASE_URL", default="")
    assert SECRET not in str(caught.value)


# -- caches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "backend", "location"),
    [
        ("", "locmem.LocMemCache", ""),
        ("locmem://name", "locmem.LocMemCache", "name"),
        ("redis://127.0.0.1:6379/1", "redis.RedisCache", "redis://127.0.0.1:6379/1"),
        ("rediss://u:p@cache/0", "redis.RedisCache", "rediss://u:p@cache/0"),
        ("file:///srv/a%20b", "filebased.FileBasedCache", "/srv/a b"),
    ],
)
def test_cache(url: str, backend: str, location: str) -> None:
    cache = environment(X=url).cache("X")

    assert cache["BACKEND"] == f"django.core.cache.backends.{backend}"
    assert cache["LOCATION"] == location


@pytest.mark.parametrize("url", [f"memcache://{SECRET}@h", "file://", "file:///", SECRET])
def test_no_cache_url(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^CACHE_URL") as caught:
        environment(CACHE_URL=url).cache("CACHE_URL")
    assert SECRET not in str(caught.value)


# -- the secret key --------------------------------------------------------------------------------


def test_secret_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    key = environment().secret_key(tmp_path)

    assert len(key) >= 50
    assert environment().secret_key(tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert stat.S_IMODE(os.stat(tmp_path / "secret_key").st_mode) == 0o600


def test_secret_key_of_the_environment_wins_and_nothing_is_written(tmp_path: Path) -> None:
    assert environment(SECRET_KEY="given").secret_key(tmp_path) == "given"
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_together_agree_on_the_secret_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        keys = set(pool.map(lambda _: environment().secret_key(tmp_path), range(40)))

    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_damaged_secret_key_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short")
    with pytest.raises(ImproperlyConfigured, match="does not hold a key"):
        environment().secret_key(tmp_path)
