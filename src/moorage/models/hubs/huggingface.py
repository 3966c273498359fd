"""Hugging Face's hub and its mirrors.

The public API as its own client (huggingface_hub 2.4) speaks it: `/api/models/{id}/revision/{rev}?blobs=true` lists the
files of a commit, `/api/models/{id}/tree/{rev}` does so in pages, `/{id}/resolve/{rev}/{path}` is a file, on redirect.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
from msgspec import Struct

from moorage.core.text import harmless
from moorage.errors import ModelError
from moorage.models.attempts import UNREACHABLE
from moorage.models.hubs.reading import Reader
from moorage.models.hubs.repository import NotThere, RepoFile, Repository
from moorage.models.source import public

ENDPOINT = "https://huggingface.co"
_TRUE = frozenset({"1", "on", "yes", "true"})


class _Lfs(Struct):
    sha256: str | None = None
    oid: str | None = None
    size: int | None = None


class _Sibling(Struct, rename="camel"):
    rfilename: str
    size: int | None = None
    blob_id: str | None = None
    lfs: _Lfs | None = None


class _Info(Struct):
    siblings: list[_Sibling]
    sha: str = ""


class _Leaf(Struct):
    path: str
    type: str = "file"
    size: int | None = None
    oid: str | None = None
    lfs: _Lfs | None = None


class _Found(Struct):
    id: str = ""


class HuggingFace:
    title = "Hugging Face"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.endpoint = endpoint(environ.get("HF_ENDPOINT", ""), ENDPOINT, "HF_ENDPOINT")
        self._shown = public(self.endpoint)
        self.offline = next(
            (
                f"{name}={environ[name]}"
                for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
                if environ.get(name, "").lower() in _TRUE
            ),
            "",
        )
        self.token, self._token_from = _token(environ)

    def credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def page(self, name: str) -> str:
        return f"{self._shown}/{name}"

    async def repository(self, reader: Reader, name: str, revision: str) -> Repository:
        wanted = revision or "main"
        found = await reader.json(f"{self._api(name)}/revision/{quote(wanted, safe='')}?blobs=true", _Info)
        commit = found.sha or wanted
        files = tuple(
            RepoFile(
                path=file.rfilename,
                size_bytes=file.size,
                sha256=_sha256(file.lfs),
                git_blob=_blob(file.lfs, file.blob_id),
            )
            for file in found.siblings
        )
        if any(file.size_bytes is None for file in files):
            files = await self._tree(reader, name, commit) or files  # a mirror that knows no `blobs`
        return Repository(name=name, revision=commit, files=files)

    async def _tree(self, reader: Reader, name: str, commit: str) -> tuple[RepoFile, ...]:
        try:
            leaves = await reader.pages(f"{self._api(name)}/tree/{quote(commit, safe='')}?recursive=true", list[_Leaf])
        except NotThere:
            return ()  # nor a tree
        return tuple(
            RepoFile(path=leaf.path, size_bytes=leaf.size, sha256=_sha256(leaf.lfs), git_blob=_blob(leaf.lfs, leaf.oid))
            for leaf in leaves
            if leaf.type == "file"
        )

    def address(self, repository: Repository, path: str) -> str:
        return f"{self.endpoint}/{repository.name}/resolve/{quote(repository.revision, safe='')}/{quote(path)}"

    async def similar(self, reader: Reader, words: str) -> list[str]:
        query = urlencode({"search": words, "limit": "20"})
        return [
            found.id for found in await reader.json(f"{self.endpoint}/api/models?{query}", list[_Found]) if found.id
        ]

    def refusal(self, name: str, response: aiohttp.ClientResponse) -> Exception | None:
        code, said = response.headers.get("X-Error-Code", ""), response.headers.get("X-Error-Message", "")
        status = response.status
        if status not in (401, 403, 404):
            return None
        if code == "GatedRepo":
            return self._gated(name)
        if code == "RevisionNotFound":
            return ModelError(
                f"{name} has no such revision at {self._shown}; {self.page(name)}/branches shows those it has"
            )
        if code == "EntryNotFound":
            return ModelError(f"{name} lacks a file it lists at {self._shown}; try again later")
        if status == 404 or code == "RepoNotFound":
            return NotThere(self._missing(name))
        if said and status == 403:
            return ModelError(f"{self._shown} refuses {name}: {self._without_token(said)}", code=UNREACHABLE)
        if self.token:
            why = f": {self._without_token(said)}" if said else ""
            return ModelError(
                f"{self._shown} does not accept the token in {self._token_from} for {name} ({status}{why}); "
                "make one at /settings/tokens that may read it",
                code=UNREACHABLE,
            )
        return NotThere(self._missing(name), code=UNREACHABLE)

    def _without_token(self, said: str) -> str:
        return harmless(said.replace(self.token, "…") if self.token else said)[:300]

    def _missing(self, name: str) -> str:
        private = "" if self.token else ", or it is private: set HF_TOKEN to a token that may read it"
        return f"there is no {name!r} at {self._shown}{private}"

    def _gated(self, name: str) -> ModelError:
        todo = (
            f"the account of the token in {self._token_from} has not been let in yet"
            if self.token
            else "then set HF_TOKEN to a token of that account"
        )
        return ModelError(
            f"{name} is open only to those who accept its licence: do so at {self.page(name)}; {todo}", code=UNREACHABLE
        )

    def _api(self, name: str) -> str:
        return f"{self.endpoint}/api/models/{name}"


def home(environ: Mapping[str, str]) -> Path:
    """HF_HOME, where Hugging Face's own programs keep their cache and the token."""
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/"), ".cache"))
    return Path(cache, "huggingface").expanduser()


def endpoint(text: str, default: str, variable: str) -> str:
    """A hub's address as people write it: with or without scheme, with a path prefix or a slash at its end."""
    text = text.strip().rstrip("/") or default
    text = text if "://" in text else f"https://{text}"
    if not text.startswith(("http://", "https://")) or not text.partition("://")[2] or any(map(str.isspace, text)):
        raise ModelError(
            f"{variable} is {text!r}, which is not the address of a hub; write https://HOST or https://HOST/PATH"
        )
    return text


def read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _token(environ: Mapping[str, str]) -> tuple[str, str]:
    """The token and where it is from."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if found := environ.get(name, "").strip():
            return _sound(found, name), name
    path = Path(environ.get("HF_TOKEN_PATH") or home(environ) / "token").expanduser()
    return _sound(read_token(path), str(path)), str(path)


def _sound(token: str, name: str) -> str:
    if not token.isascii() or any(map(str.isspace, token)) or not token.isprintable():
        raise ModelError(f"the token in {name} cannot be one: it has spaces or characters that no token has")
    return token


def _sha256(lfs: _Lfs | None) -> str | None:
    found = (lfs.sha256 or lfs.oid or "") if lfs else ""
    return found.removeprefix("sha256:") or None


def _blob(lfs: _Lfs | None, blob: str | None) -> str | None:
    """Of a file in LFS git knows only the pointer to it."""
    return None if lfs else blob
