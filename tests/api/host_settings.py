"""Settings of `host`: each of them would break a careless guest."""

from example_project.settings import *  # noqa: F403 - settings modules are made to be extended so

CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
DATABASES = {
    "default": DATABASES["default"] | {"ATOMIC_REQUESTS": True},  # noqa: F405
    "other": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "other.sqlite3",  # noqa: F405
        "ATOMIC_REQUESTS": True,
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = None
INSTALLED_APPS += ["corsheaders"]  # noqa: F405
LANGUAGE_CODE = "ko"
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    *MIDDLEWARE,  # noqa: F405
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "tests.api.host.Reads",
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    "DEFAULT_SCHEMA_CLASS": "does.not.Exist",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "EXCEPTION_HANDLER": "tests.api.host.handle",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": "shape",
}
ROOT_URLCONF = "tests.api.host"
