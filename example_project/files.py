"""Files and folders for this user alone; other processes see a file whole, or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, readable by this user only."""
    draft = path.with_name(f".{path.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(draft, path)


def require_folder(path: Path, *, name: str, to_write: bool) -> None:
    """Raise ImproperlyConfigured where there is no such folder and none can be made.

    With `to_write`, one that is there must be one that this user can write to. Nothing is made.
    """
    there = path
    # Not `exists`: a link to nothing is in the way of a folder.
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.isdir(there):
        raise ImproperlyConfigured(
            f"{name} is {str(path)!r}; it must be a folder, and {there} is none."
        )
    if (to_write or there != path) and not os.access(there, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(
            f"{name} is {str(path)!r}; it must be a folder that this user (number {os.geteuid()})"
            f" can write to, and {there} is none."
        )


def make_folder(path: Path, *, name: str) -> None:
    """Make a folder for this user alone, unless it is there. `name` is what an error names."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: {path} is no folder: {error.strerror}.") from None


def keep_new_secret(path: Path) -> None:
    """Write a new secret to the path, unless another process is first."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(64))
        # A link never replaces: of processes that start together, all use the first one's key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
