"""The library as the host runs it."""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from moorage.runtimes.host.app import App
from moorage.runtimes.host.priority import background, background_session
from moorage.runtimes.whisper.jobs import Jobs
from moorage.runtimes.whisper.library import Library
from moorage.runtimes.whisper.routes import Routes
from moorage.wire.runtime import SpeechSettings


class Whisper:
    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._library = Library(settings)
        self.plan = (
            f"{settings.max_calls} recordings at once, {settings.threads} threads each, niceness {settings.niceness}"
        )

    def load(self) -> None:
        """On a thread of low priority, which the library's own threads inherit."""
        background_session(self._settings.niceness)
        with ThreadPoolExecutor(1, initializer=background, initargs=(self._settings.niceness,)) as thread:
            thread.submit(self._library.load).result()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        jobs = Jobs(self._library, self._settings)
        try:
            yield Routes(jobs).app()
        finally:
            await jobs.stop()

    def close(self) -> None:
        """The library frees what it holds when the process ends."""
