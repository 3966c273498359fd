"""A model out of a hub's repository: listed, chosen, downloaded file by file, checked."""

import asyncio
import difflib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from moorage.core.text import human
from moorage.errors import ModelError
from moorage.models import manifest, web
from moorage.models.attempts import Patience
from moorage.models.disk import OnProgress, check_room, in_thread, writing_to
from moorage.models.download import discard, download
from moorage.models.fetched import Fetched
from moorage.models.hubs.huggingface import HuggingFace
from moorage.models.hubs.modelscope import ModelScope
from moorage.models.hubs.reading import Reader
from moorage.models.hubs.repository import Hub, NotThere, RepoFile, Repository, sound
from moorage.models.hubs.selection import Choice, ShardIndex, choose, indexes
from moorage.models.hubs.stage import Stage, git_blob
from moorage.models.local import mismatch
from moorage.models.source import HubName, HubSource
from moorage.wire.control import Progress

AT_ONCE = 4
"""Files downloaded side by side: enough to hide a hub's answer times, few enough for its limits."""

log = logging.getLogger(__name__)

HUBS: Mapping[HubName, Callable[[Mapping[str, str]], Hub]] = {"hf": HuggingFace, "ms": ModelScope}


async def fetch_hub(
    source: HubSource, wanted: str | None, folder: Path, patience: Patience, on_progress: OnProgress | None
) -> Fetched:
    """Gather the model's files in `folder`. After a failure that may pass, what came stays to be gone on with.

    Raises ModelError.
    """
    hub = HUBS[source.hub](os.environ)
    if hub.offline:
        raise ModelError(
            f"{source} is neither in the store nor in a cache of this machine, and {hub.offline} forbids to ask "
            f"{hub.title}{_other_reading(source)}"
        )
    session = web.session(
        connect_s=patience.connect_s,
        stall_s=patience.stall_s,
        endpoint=hub.endpoint,
        credentials=hub.credentials(),
    )
    async with session:
        return await _Fetch(hub, source, session, patience, on_progress).run(wanted, folder)


class _Fetch:
    def __init__(
        self,
        hub: Hub,
        source: HubSource,
        session: aiohttp.ClientSession,
        patience: Patience,
        on_progress: OnProgress | None,
    ) -> None:
        self._hub = hub
        self._source = source
        self._session = session
        self._patience = patience
        self._on_progress = on_progress
        self._reader = Reader(session, patience, lambda response: hub.refusal(source.repository, response))

    async def run(self, wanted: str | None, folder: Path) -> Fetched:
        repository, choice = await self._decide()
        log.info("%s: %s", self._source, choice.why)
        files = [file for file in repository.files if file.path in choice.paths]
        if wanted and len(files) == 1 and files[0].sha256 not in (None, wanted):
            advice = "nothing was fetched. Correct the sha256"
            raise mismatch(str(self._source), files[0].sha256 or "", wanted, advice)
        stage = Stage(folder, str(self._source))
        sums = await self._gather(repository, files, stage, folder)
        return Fetched(
            part=stage.path,
            name=self._source.folder_name,
            files=sums,
            opens=choice.opens,
            revision=repository.revision,
            why=choice.why,
        )

    async def _decide(self) -> tuple[Repository, Choice]:
        source = self._source
        try:
            found = await self._hub.repository(self._reader, source.repository, source.revision)
        except NotThere as error:
            near = await self._nearest()
            raise ModelError(f"{error}{near}{_other_reading(source)}", code=error.error_code) from error
        except ModelError as error:
            raise ModelError(f"{error}{_other_reading(source)}", code=error.error_code) from error
        files = sound(found.files)
        paths = [file.path for file in files]
        try:
            shards = {path: await self._shards(found, path) for path in indexes(paths)}
            choice = choose(paths, source.selector, shards)
        except ModelError as error:
            raise ModelError(f"{source}: {error}", code=error.error_code) from error
        return Repository(name=found.name, revision=found.revision, files=files), choice

    async def _shards(self, repository: Repository, index: str) -> Sequence[str]:
        return (await self._reader.json(self._hub.address(repository, index), ShardIndex)).shards

    async def _nearest(self) -> str:
        """The repositories that were perhaps meant, as the end of a sentence."""
        organisation, _, name = self._source.repository.rpartition("/")
        found: list[str] = []
        try:
            for words in dict.fromkeys((name, name.partition("-")[0], organisation)):
                if words and len(found) < 3:
                    found += await self._hub.similar(self._reader, words)
        except ModelError:
            log.debug("%s does not answer a search", self._hub.title, exc_info=True)
        lowered = {each.lower(): each for each in found}
        near = difflib.get_close_matches(self._source.repository.lower(), lowered, n=3, cutoff=0.5)
        return f"; the nearest it has: {', '.join(lowered[each] for each in near)}" if near else ""

    async def _gather(
        self, repository: Repository, files: Sequence[RepoFile], stage: Stage, folder: Path
    ) -> dict[str, str]:
        sizes = [file.size_bytes for file in files]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        with writing_to(folder, lambda: None):
            final = folder / self._source.folder_name
            await in_thread(stage.begin, repository.revision, total, final, manifest.read(folder))
            sums = {file.path: sha256 for file in files if (sha256 := await stage.kept(file))}
            tally = _Tally(files, total, stage, self._on_progress)
            limit = asyncio.Semaphore(AT_ONCE)

            async def one(file: RepoFile) -> None:
                async with limit:
                    sums[file.path] = await self._download(repository, file, stage, tally)

            try:
                if total is not None:
                    check_room(folder, total - tally.done)
                tally.tell()
                await _all([one(file) for file in files if file.path not in sums])
                await in_thread(stage.clear, {file.path for file in files})
            except (ModelError, asyncio.CancelledError):
                stage.drop_if_empty()
                raise
        return sums

    async def _download(self, repository: Repository, file: RepoFile, stage: Stage, tally: "_Tally") -> str:
        part = await in_thread(stage.part, file.path)
        digest = await download(
            self._hub.address(repository, file.path),
            part,
            sha256=file.sha256,
            source=str(self._source),
            patience=self._patience,
            on_progress=tally.of(file.path),
            session=self._session,
            refused=self._reader.refusal,
        )
        if problem := await in_thread(_difference, part, file):
            discard(part)
            raise ModelError(
                f"{self._source}: {file.path} {problem}; it was not kept. The hub may be changing it: try again",
                code="checksum_mismatch",
            )
        await in_thread(stage.put, file, digest)
        return digest


class _Tally:
    """How far the files are, all together."""

    def __init__(
        self, files: Sequence[RepoFile], total: int | None, stage: Stage, on_progress: OnProgress | None
    ) -> None:
        self._total = total
        self._on_progress = on_progress
        self._done = {file.path: stage.here_bytes(file.path) for file in files}

    @property
    def done(self) -> int:
        return sum(self._done.values())

    def of(self, path: str) -> OnProgress:
        def tell(progress: Progress) -> None:
            # Reading what is here already is no step back.
            if progress.what == "downloading" or progress.done > self._done[path]:
                self._done[path] = progress.done
            self.tell()

        return tell

    def tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(what="downloading", done=self.done, total=self._total))


def _difference(part: Path, file: RepoFile) -> str:
    """What is wrong with a file that came, where `download` could not tell; words that follow its name."""
    size_bytes = part.stat().st_size
    if file.size_bytes is not None and size_bytes != file.size_bytes:
        return (
            f"has {human(size_bytes)} instead of {human(file.size_bytes)} ({size_bytes} bytes, not {file.size_bytes})"
        )
    if file.sha256 is None and file.git_blob is not None and git_blob(part) != file.git_blob:
        return "is not what its repository lists: git's checksum differs"
    return ""


def _other_reading(source: HubSource) -> str:
    return "" if source.path is None else f". Nor is there a file or folder {str(source.path)!r}"


async def _all(jobs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run them side by side; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
