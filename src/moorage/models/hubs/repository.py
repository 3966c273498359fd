"""A model repository of a hub, as this machine sees it: its files at one commit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import aiohttp

from moorage.errors import ModelError
from moorage.models.hubs.reading import Reader
from moorage.models.manifest import is_inside

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class RepoFile:
    path: str
    """In the repository, with slashes."""
    size_bytes: int | None = None
    sha256: str | None = None
    """Of the content, where the hub tells it."""
    git_blob: str | None = None
    """Git's own checksum of the content, which hubs tell of small files: SHA-1 over a header and the content."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    name: str
    """ORG/NAME."""
    revision: str
    """What to ask for the files with: the commit, or what was asked for where the hub tells no commit."""
    files: tuple[RepoFile, ...]


class NotThere(ModelError):
    """The hub has no such repository, or does not show it to this caller."""


class Hub(Protocol):
    """One hub's addresses, credentials and answers."""

    title: str
    """What people call it."""
    endpoint: str
    """Without a slash at its end."""
    token: str
    """Empty for none. Never in a message."""
    offline: str
    """The variable that forbids requests, with its value; empty where none does."""

    def credentials(self) -> Mapping[str, str]:
        """Headers that show the token; for the endpoint's own host only."""
        ...

    def page(self, name: str) -> str:
        """Where people look at the repository."""
        ...

    async def repository(self, reader: Reader, name: str, revision: str) -> Repository:
        """The files at a revision; the empty one is the hub's default. Raises ModelError, NotThere."""
        ...

    def address(self, repository: Repository, path: str) -> str:
        """The URL of a file."""
        ...

    async def similar(self, reader: Reader, words: str) -> list[str]:
        """Names of repositories that a search for the words finds. Raises ModelError."""
        ...

    def refusal(self, name: str, response: aiohttp.ClientResponse) -> Exception | None:
        """What a refusing answer means, where the hub has its own way to say it."""
        ...


def sound(files: tuple[RepoFile, ...]) -> tuple[RepoFile, ...]:
    """The files that have a plain path, without checksums that are none: a hub is not to choose where we write."""
    return tuple(
        replace(file, sha256=file.sha256 if _SHA256.fullmatch(file.sha256 or "") else None)
        for file in files
        if is_inside(file.path)
    )


def is_commit(revision: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None
