"""Model hubs on two ports: the hub, in Hugging Face's and in ModelScope's manner, and the store it redirects to."""

import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.integration.models.fileserver import FileServer, Plan, Seen, serving

LFS_FROM = 1000
"""Bytes from which a file lies in the other store, with its sha256 in the list."""

Answer = tuple[Plan, bytes]


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def commit_of(files: dict[str, bytes]) -> str:
    return hashlib.sha1(b"".join(name.encode() + content for name, content in sorted(files.items()))).hexdigest()


@dataclass
class Repo:
    """One repository. Each revision is a branch or tag; its commit is made from its files."""

    revisions: dict[str, dict[str, bytes]]
    gated: bool = False
    """Listed for all, but its files only for the token."""
    private: bool = False
    lists: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Contents by which the list of files is made, where they are to differ from the true ones."""

    def files(self, revision: str) -> dict[str, bytes] | None:
        for name, files in self.revisions.items():
            if revision in (name, commit_of(files)):
                return files
        return None


class HubServer:
    def __init__(self, hub: FileServer, cdn: FileServer) -> None:
        self.hub = hub
        self.cdn = cdn
        self.repos: dict[str, Repo] = {}
        self.token = "hf_secret"
        """The one that is accepted."""
        self.prefix = ""
        """A path before all others, as mirrors have it."""
        self.blobs = True
        """Whether lists tell sizes and checksums; a simple mirror does not."""
        self.tree_page = 1000
        """Files on one page of a tree; 0: there are no trees."""
        hub.answer = self._answer

    @property
    def url(self) -> str:
        return self.hub.url(self.prefix)

    def add(self, name: str, files: dict[str, bytes], **more: Any) -> Repo:
        self.repos[name] = Repo({"main": files, "master": files}, **more)
        return self.repos[name]

    def asked(self, part: str = "") -> list[str]:
        """Paths of the requests to the hub."""
        return [seen.path for seen in self.hub.seen if part in seen.path]

    def fetched(self, part: str = "") -> list[Seen]:
        """Requests to the store behind the hub."""
        return [seen for seen in self.cdn.seen if part in seen.path]

    def cdn_path(self, content: bytes) -> str:
        return f"/lfs/{hashlib.sha256(content).hexdigest()}"

    def _answer(self, seen: Seen) -> Answer:
        path, query = unquote(seen.path), {name: values[0] for name, values in parse_qs(seen.query).items()}
        if not path.startswith(self.prefix):
            return Plan(status=404), b""
        path = path.removeprefix(self.prefix)
        known = seen.headers.get("authorization") == f"Bearer {self.token}"
        if seen.headers.get("authorization") and not known:
            return Plan(status=401, headers={"X-Error-Message": "Invalid credentials in Authorization header"}), b""
        for start, answer in (
            ("/api/v1/models/", self._modelscope),
            ("/openapi/v1/models", self._modelscope_search),
            ("/api/models/", self._list),
            ("/api/models", self._search),
            ("/", self._resolve),
        ):
            if path.startswith(start):
                return answer(path.removeprefix(start), query, known)
        return Plan(status=404), b""

    # Hugging Face

    def _repo(self, name: str, known: bool) -> Repo | Answer:
        repo = self.repos.get(name)
        if repo is None or (repo.private and not known):
            # The hub tells nobody whether a private repository exists.
            return Plan(status=404 if known else 401, headers={"X-Error-Code": "RepoNotFound"}), b""
        return repo

    def _list(self, rest: str, query: dict[str, str], known: bool) -> Answer:
        organisation, name, kind, revision = rest.split("/", 3)
        repo = self._repo(f"{organisation}/{name}", known)
        if not isinstance(repo, Repo):
            return repo
        files = repo.files(revision)
        if files is None:
            return Plan(status=404, headers={"X-Error-Code": "RevisionNotFound"}), b""
        if kind == "tree":
            return self._tree(rest, repo, files, int(query.get("cursor", "0")))
        siblings = [{"rfilename": path, **self._facts(path, repo, files)} for path in files]
        document = {"id": f"{organisation}/{name}", "sha": commit_of(files), "siblings": siblings, "tags": []}
        return _json({**document, "gated": "manual" if repo.gated else False, "private": repo.private})

    def _facts(self, path: str, repo: Repo, files: dict[str, bytes]) -> dict[str, Any]:
        content = repo.lists.get(path, files[path])
        if not self.blobs:
            return {}
        facts: dict[str, Any] = {"size": len(content), "blobId": git_sha1(content)}
        if len(content) >= LFS_FROM:
            facts["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return facts

    def _tree(self, rest: str, repo: Repo, files: dict[str, bytes], start: int) -> Answer:
        if not self.tree_page:
            return Plan(status=404), b""
        leaves: list[dict[str, Any]] = [{"type": "directory", "path": "folder", "size": 0, "oid": "0" * 40}]
        for path, true in files.items():
            content = repo.lists.get(path, true)
            leaf: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
            if len(content) >= LFS_FROM:
                leaf["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            leaves.append(leaf)
        end = start + self.tree_page
        address = f"{self.url}/api/models/{rest}?recursive=true&cursor={end}"
        link = {"Link": f'<{address}>; rel="next"'} if end < len(leaves) else {}
        return _json(leaves[start:end], link)

    def _search(self, rest: str, query: dict[str, str], known: bool) -> Answer:
        return _json([{"id": name, "likes": 1} for name in self._found(query.get("search", ""))])

    def _found(self, words: str) -> list[str]:
        return [name for name, repo in self.repos.items() if words.lower() in name.lower() and not repo.private]

    def _resolve(self, rest: str, query: dict[str, str], known: bool) -> Answer:
        before, _, after = rest.partition("/resolve/")
        revision, _, path = after.partition("/")
        repo = self._repo(before, known)
        if not isinstance(repo, Repo):
            return repo
        if repo.gated and not known:
            return Plan(status=401, headers={"X-Error-Code": "GatedRepo"}), b""
        files = repo.files(revision) or {}
        if path not in files:
            return Plan(status=404, headers={"X-Error-Code": "EntryNotFound"}), b""
        return self._content(files[path], {"X-Repo-Commit": commit_of(files)})

    def _content(self, content: bytes, headers: dict[str, str]) -> Answer:
        if len(content) < LFS_FROM:
            headers["ETag"] = f'"{git_sha1(content)}"'
            return replace(self.hub.plan, headers=headers, etag=False), content
        self.cdn.files[self.cdn_path(content)] = content
        headers["Location"] = self.cdn.url(self.cdn_path(content)) + "?signature=s3cret"
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        return Plan(status=302, headers=headers), b""

    # ModelScope

    def _modelscope(self, rest: str, query: dict[str, str], known: bool) -> Answer:
        organisation, name, kind = rest.split("/", 2)
        repo = self.repos.get(f"{organisation}/{name}")
        if repo is None or (repo.private and not known):
            return Plan(status=404), b""
        if repo.gated and not known:
            return Plan(status=403), b""
        files = repo.files(query.get("Revision", "master"))
        if kind == "repo/files":
            return _json({"Code": 200, "Success": True, "Data": self._modelscope_list(files), "Message": ""})
        content = (files or {}).get(query.get("FilePath", ""))
        return (Plan(status=404), b"") if content is None else self._content(content, {})

    def _modelscope_list(self, files: dict[str, bytes] | None) -> dict[str, Any]:
        if files is None:
            return {"Files": None, "LatestCommitter": None}
        commit = commit_of(files)
        entries = [
            {
                "Path": path,
                "Name": path.rpartition("/")[2],
                "Type": "blob",
                "Size": len(content),
                "Sha256": hashlib.sha256(content).hexdigest(),
                "Revision": commit,
            }
            for path, content in files.items()
        ]
        entries.append({"Path": "folder", "Name": "folder", "Type": "tree", "Size": 0, "Sha256": "", "Revision": ""})
        return {"Files": entries, "LatestCommitter": {"Id": "", "ShortId": commit[:8]}}

    def _modelscope_search(self, rest: str, query: dict[str, str], known: bool) -> Answer:
        return _json({"success": True, "data": {"models": [{"id": name} for name in self._found(query["search"])]}})


@asynccontextmanager
async def serving_hub() -> AsyncGenerator[HubServer]:
    async with serving() as cdn, serving() as hub:
        yield HubServer(hub, cdn)


def _json(document: Any, headers: dict[str, str] | None = None) -> Answer:
    return Plan(headers={"Content-Type": "application/json", **(headers or {})}), json.dumps(document).encode()
