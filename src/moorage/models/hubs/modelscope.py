"""ModelScope's hub.

The API as its own client (modelscope_hub 0.4) speaks it: `/api/v1/models/{id}/repo/files` lists the files of a revision
with their sha256, `/api/v1/models/{id}/repo?FilePath=` is a file, on redirect, `/openapi/v1/models` searches. Documents
come in an envelope with `Code`, `Message`, `Data`; an unknown revision is an empty list of files.
"""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

import aiohttp
from msgspec import Struct

from moorage.core.text import harmless
from moorage.errors import ModelError
from moorage.models.attempts import UNREACHABLE
from moorage.models.hubs.huggingface import endpoint
from moorage.models.hubs.reading import Reader
from moorage.models.hubs.repository import NotThere, RepoFile, Repository, is_commit
from moorage.models.source import public

ENDPOINT = "https://modelscope.cn"
_MOST_FILES = 3000
"""The hub lists no more, and does not say so."""


class _File(Struct, rename="pascal"):
    path: str
    type: str = "blob"
    size: int | None = None
    sha256: str | None = None
    revision: str | None = None
    """Of the last change of this file."""


class _Committer(Struct, rename="pascal"):
    id: str | None = None
    short_id: str | None = None


class _Data(Struct, rename="pascal"):
    files: list[_File] | None = None
    latest_committer: _Committer | None = None


class _Listing(Struct, rename="pascal"):
    data: _Data | None = None
    code: int | None = None
    message: str | None = None


class _Model(Struct):
    id: str = ""


class _Models(Struct):
    models: list[_Model] = []


class _Search(Struct):
    data: _Models | None = None


class ModelScope:
    title = "ModelScope"
    offline = ""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = "MODELSCOPE_ENDPOINT" if environ.get("MODELSCOPE_ENDPOINT") else "MODELSCOPE_DOMAIN"
        self.endpoint = endpoint(environ.get(name, ""), ENDPOINT, name)
        self._shown = public(self.endpoint)
        self.token = environ.get("MODELSCOPE_API_TOKEN", "").strip()

    def credentials(self) -> Mapping[str, str]:
        if not self.token:
            return {}
        return {"Authorization": f"Bearer {self.token}", "Cookie": f"m_session_id={self.token}"}

    def page(self, name: str) -> str:
        return f"{self._shown}/models/{name}"

    async def repository(self, reader: Reader, name: str, revision: str) -> Repository:
        wanted = revision or "master"
        query = urlencode({"Revision": wanted, "Recursive": "True"})
        found = await reader.json(f"{self._api(name)}/repo/files?{query}", _Listing)
        if found.code not in (None, HTTPStatus.OK):
            raise NotThere(f"there is no {name!r} at {self._shown}: {harmless(str(found.message or found.code))[:300]}")
        data = found.data or _Data()
        if not data.files:
            raise ModelError(
                f"{name} has no files at revision {wanted!r} at {self._shown}; {self.page(name)} shows those it has"
            )
        if len(data.files) >= _MOST_FILES:
            raise ModelError(
                f"{name} has more files than {self.title} lists ({_MOST_FILES}); name one of its folders or files"
            )
        files = tuple(
            RepoFile(path=file.path, size_bytes=file.size, sha256=file.sha256 or None)
            for file in data.files
            if file.type != "tree"
        )
        return Repository(name=name, revision=_commit(data, wanted), files=files)

    def address(self, repository: Repository, path: str) -> str:
        query = urlencode({"Revision": repository.revision, "FilePath": path})
        return f"{self._api(repository.name)}/repo?{query}"

    async def similar(self, reader: Reader, words: str) -> list[str]:
        query = urlencode({"search": words, "page_number": "1", "page_size": "20"})
        found = await reader.json(f"{self.endpoint}/openapi/v1/models?{query}", _Search)
        return [model.id for model in (found.data.models if found.data else []) if model.id]

    def refusal(self, name: str, response: aiohttp.ClientResponse) -> Exception | None:
        match response.status:
            case 404:
                private = (
                    "" if self.token else ", or it is private: set MODELSCOPE_API_TOKEN to a token that may read it"
                )
                return NotThere(f"there is no {name!r} at {self._shown}{private}")
            case 401 | 403 if self.token:
                return ModelError(
                    f"{self._shown} does not accept the token in MODELSCOPE_API_TOKEN for {name} "
                    f"({response.status}); it may have to be let in first at {self.page(name)}",
                    code=UNREACHABLE,
                )
            case 401 | 403:
                return ModelError(
                    f"{name} is not open to everyone at {self._shown}: ask for it at {self.page(name)} and set "
                    "MODELSCOPE_API_TOKEN to a token of that account",
                    code=UNREACHABLE,
                )
            case _:
                return None

    def _api(self, name: str) -> str:
        return f"{self.endpoint}/api/v1/models/{name}"


def _commit(data: _Data, wanted: str) -> str:
    """The commit of the list; the hub tells it whole, or its beginning, or not at all."""
    if is_commit(wanted) or data.latest_committer is None:
        return wanted
    latest = data.latest_committer
    if latest.id and is_commit(latest.id):
        return latest.id
    short = latest.short_id or ""
    whole = (file.revision for file in data.files or [] if file.revision)
    return next(
        (revision for revision in whole if short and revision.startswith(short) and is_commit(revision)), wanted
    )
