"""The password reset of dj-rest-auth without django-allauth, as a mail of this package.

    REST_AUTH = {
        "PASSWORD_RESET_SERIALIZER": "django_authmail.contrib.dj_rest_auth.PasswordResetSerializer"
    }

With django-allauth, dj-rest-auth sends by allauth's adapter: see `contrib.allauth`.
"""

from __future__ import annotations

from django_authmail import extras

extras.require(
    "dj_rest_auth",
    distribution="dj-rest-auth",
    why="django_authmail.contrib.dj_rest_auth",
)

from dj_rest_auth import serializers  # noqa: E402 # only once it is known to be there

from django_authmail.contrib.auth import PasswordResetForm  # noqa: E402 # as above


class PasswordResetSerializer(serializers.PasswordResetSerializer):  # type: ignore[misc] # untyped
    """dj-rest-auth's serializer with a form that sends a mail of this package."""

    @property
    def password_reset_form_class(self) -> type[PasswordResetForm]:
        return PasswordResetForm
