"""The form of keys, and the command that makes, lists and revokes them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_authmail import keys
from django_authmail.models import ApiKey


def test_a_key_has_its_form() -> None:
    key = keys.generate()
    assert re.fullmatch(r"am_live_[0-9A-Za-z]{36}", key)
    assert keys.well_formed(key)
    assert keys.prefix(key) == key[:14]
    assert len(keys.digest(key)) == 64
    assert key not in repr(key)


def test_no_two_keys_are_the_same() -> None:
    assert len({str(keys.generate()) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda key: key[:-1], id="one character less"),
        pytest.param(lambda key: key + "0", id="one character more"),
        pytest.param(lambda key: key + "\n", id="a line feed behind it"),
        pytest.param(lambda key: key[:20] + ("a" if key[20] != "a" else "b") + key[21:], id="typo"),
        pytest.param(lambda key: key.replace("am_live_", "am_prod_"), id="another start"),
        pytest.param(lambda key: "", id="nothing"),
        pytest.param(lambda key: "am_live_" + "é" * 36, id="not ASCII"),
    ],
)
def test_refuses_what_is_no_key(change: Any) -> None:
    assert not keys.well_formed(change(str(keys.generate())))


_OTP_ALONE = ("--scope", "send:otp")


def _run(*args: str) -> str:
    out = StringIO()
    call_command("authmail_key", *args, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.django_db
class TestCommand:
    def test_prints_a_new_key_once_and_keeps_its_digest(self) -> None:
        key = _run("create", "--name", "shop").strip()
        row = ApiKey.objects.get()
        assert keys.well_formed(key)
        assert (row.name, row.prefix, row.digest) == ("shop", key[:14], keys.digest(key))
        assert row.scopes == [scope for scope in keys.SCOPES if scope != "send:raw"]
        assert row.expires_at is None
        assert key not in _run("list")
        assert key not in _run("list", "--json")
        assert "shop" in _run("list")

    def test_times_are_said_to_be_in_utc(self) -> None:
        _run("create", "--name", "shop", "--expires-days", "30")
        ApiKey.objects.update(last_used_at=timezone.now())
        time = r"[0-9-]{10} [0-9:]{5} UTC"
        assert re.search(f"last used {time} +until {time} +shop", _run("list"))

    def test_json_has_all_that_a_script_needs(self) -> None:
        made = json.loads(
            _run("create", "--name", "x", "--scope", "send:otp", "--expires-days", "30", "--json")
        )
        row = ApiKey.objects.get()
        assert made["id"] == str(row.pk)
        assert keys.digest(made["key"]) == row.digest
        assert made["scopes"] == ["send:otp"]
        assert row.expires_at is not None
        assert (row.expires_at - row.created_at).days == 30
        [listed] = json.loads(_run("list", "--json"))
        assert listed == {name: value for name, value in made.items() if name != "key"}

    @pytest.mark.parametrize(
        ("args", "error"),
        [
            (["--name", ""], "--name must have 1 to 100 characters"),
            (["--name", "x", "--scope", "send:opt"], "Did you mean 'send:otp'?"),
            (["--name", "x", "--expires-days", "0"], "--expires-days must be 1 or more"),
            (["--name", "x", "--rate", "-1"], "--rate must be 0 or more"),
            (["--name", "x", "--network", "10.0.0.1/8"], "Write 10.0.0.0/8, or the address alone"),
            (["--name", "x", "--recipient", "nobody@"], "is neither an address nor a domain"),
            ([], "--name"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, args: list[str], error: str) -> None:
        with pytest.raises(CommandError, match=re.escape(error)):
            _run("create", *args)
        assert not ApiKey.objects.exists()

    @pytest.mark.parametrize("by", ["prefix", "id", "key"])
    def test_revokes(self, by: str) -> None:
        key = _run("create", "--name", "shop").strip()
        row = ApiKey.objects.get()
        given = {"prefix": row.prefix + "…", "id": str(row.pk), "key": key}[by]
        assert "is revoked" in _run("revoke", given)
        row.refresh_from_db()
        assert row.revoked_at is not None
        first = row.revoked_at
        assert "was revoked before" in _run("revoke", given)
        row.refresh_from_db()
        assert row.revoked_at == first
        assert "revoked" in _run("list")

    def test_refuses_to_guess_which_key_is_meant(self) -> None:
        for name in "ab":
            ApiKey.objects.create(name=name, prefix="am_live_abcdef", digest=name)
        with pytest.raises(CommandError, match="2 keys begin with this"):
            _run("revoke", "am_live_abc")
        with pytest.raises(CommandError, match="No key has this prefix"):
            _run("revoke", "am_live_")
        assert not ApiKey.objects.exclude(revoked_at=None).exists()

    def test_a_key_has_the_terms_that_it_was_made_with(self) -> None:
        args = "--name staging --network 203.0.113.7 --network 10.0.0.0/8 --rate 5 --test"
        made = json.loads(
            _run(
                "create",
                *args.split(),
                "--recipient",
                "Example.com",
                "--scope",
                "send:otp",
                "--json",
            )
        )
        assert made["key"].startswith("am_test_")
        assert made["test"] is True
        assert made["networks"] == ["203.0.113.7/32", "10.0.0.0/8"]
        assert made["recipients"] == ["@example.com"]
        assert made["rate_per_minute"] == 5
        terms = "send:otp, from 203.0.113.7/32, from 10.0.0.0/8, to @example.com, 5 a minute"
        assert f"[{terms}]" in _run("list")

    def test_rotates(self) -> None:
        old = _run("create", "--name", "shop").strip()
        made = json.loads(_run("rotate", old, "--overlap-hours", "2", "--json"))
        old_row = ApiKey.objects.get(digest=keys.digest(old))
        row = ApiKey.objects.get(digest=keys.digest(made["key"]))
        assert row.holder == old_row.holder
        assert old_row.expires_at == row.created_at + timedelta(hours=2)
        with pytest.raises(CommandError, match=f"Nothing was done. .* replaced by {row.prefix}"):
            _run("rotate", old_row.prefix)
        with pytest.raises(CommandError, match="--overlap-hours must be 0 or more"):
            _run("rotate", row.prefix, "--overlap-hours", "-1")

    def test_says_what_becomes_of_the_others_of_a_holder(self) -> None:
        old = _run("create", "--name", "shop").strip()
        err = StringIO()
        call_command("authmail_key", "rotate", old, stdout=StringIO(), stderr=err)
        ends = r"The key that it replaces, am_live_\w{6}…, ends at 20.* UTC\."
        assert re.search(ends, err.getvalue())
        err = StringIO()
        call_command("authmail_key", "revoke", old, stdout=StringIO(), stderr=err)
        newest = ApiKey.objects.get(revoked_at=None)
        assert err.getvalue() == f"Key {newest.prefix}… of the same holder is valid still.\n"
        err = StringIO()
        call_command(
            "authmail_key", "rotate", newest.prefix, overlap_hours=0, stdout=StringIO(), stderr=err
        )
        assert f"The key that it replaces, {newest.prefix}…, ends now." in err.getvalue()
