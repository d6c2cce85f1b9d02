"""What schemathesis has to know of this API to make requests that are right.

The description cannot say what a mailbox is, and names formats instead; here are strings of them.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

from django_authmail.api.headers import IDEMPOTENCY_KEY

_HOSTS = st.sampled_from(["example.com", "mail.example.co.kr", "xn--bj0bj06e.kr", "한국.kr"])
_LOCALS = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=^_`{|}~-]{1,64}", fullmatch=True)
_NAMES = st.sampled_from(["", "Hong ", "홍길동 ", '"Hong, Gil-dong" '])
# No control characters, and nothing that could look like an encoded word (RFC 2047).
_CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="?"
)


def _mailbox(name: str, local: str, host: str) -> str:
    return f"{name}<{local}@{host}>" if name else f"{local}@{host}"


schemathesis.openapi.format("mailbox", st.builds(_mailbox, _NAMES, _LOCALS, _HOSTS))
schemathesis.openapi.format("header-text", st.text(_CHARACTERS, min_size=1, max_size=60))
schemathesis.openapi.format(
    "filename",
    st.from_regex(r"[\w가-힣][\w가-힣 -]{0,20}\.(pdf|txt)", fullmatch=True),
)
schemathesis.openapi.format(
    "media-type", st.sampled_from(["application/pdf", "text/csv; charset=utf-8", "image/png"])
)

# An address of the internet, so that no name is looked up; nothing is sent there, for the service
# under test has no worker.
schemathesis.openapi.format(
    "webhook-url", st.from_regex(r"https://93\.184\.215\.14/[A-Za-z0-9/_-]{0,40}", fullmatch=True)
)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Give each request a key of its own: with one twice, another body is refused, and rightly."""
    key = (case.headers or {}).get("Idempotency-Key", "")
    if isinstance(key, str) and re.fullmatch(IDEMPOTENCY_KEY, key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
