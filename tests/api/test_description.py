"""What is committed of the API's description is what the code says."""

from __future__ import annotations

import json

import pytest
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # has no stubs

from django_authmail.api.codes import KINDS
from django_authmail.api.problems import CONTENT_TYPE
from tests.api import description
from tests.api.description import COMMAND, PAGE, SCHEMA


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text() == description.schema(), (
        f"The API has changed. If that was meant, run: {COMMAND}"
    )


def test_the_tables_of_the_page_are_made_of_the_code() -> None:
    text = PAGE.read_text()
    assert text == description.page(text), f"docs/http-api.md is out of date; run: {COMMAND}"


def test_every_response_has_its_headers_and_every_problem_examples() -> None:
    document = json.loads(SCHEMA.read_text())
    validate_schema(document)  # type: ignore[no-untyped-call] # untyped there
    seen = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                assert "X-Request-ID" in response["headers"], (path, status)
                if int(status) < 400:
                    continue
                examples = response["content"][CONTENT_TYPE]["examples"]
                assert examples, (path, status)
                seen |= set(examples)
    # Those that no operation has of its own.
    assert set(KINDS) - seen == {"bad_request", "internal_error", "method_not_allowed"}


@pytest.mark.parametrize(
    ("form", "member"),
    [("SendOTP", "user_name"), ("SendOTP", "webhook_secret"), ("SendRaw", "text_body")],
)
def test_an_empty_string_is_one_where_it_is_taken(form: str, member: str) -> None:
    described = json.loads(SCHEMA.read_text())["components"]["schemas"][form]["properties"][member]
    assert Draft202012Validator(described).is_valid("")
    assert Draft202012Validator(described).is_valid("x")
    assert not Draft202012Validator(described).is_valid("\0")


def test_an_example_of_a_problem_is_one() -> None:
    document = json.loads(SCHEMA.read_text())
    wanted = set(document["components"]["schemas"]["ProblemAnswer"]["required"])
    for code, example in document["components"]["examples"].items():
        assert wanted <= example["value"].keys(), code
        assert example["value"]["code"] == code
