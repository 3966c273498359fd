"""The library as the host runs it."""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from moorage.errors import EngineError
from moorage.runtimes.host.app import App
from moorage.runtimes.whisper.jobs import Jobs
from moorage.runtimes.whisper.library import Library
from moorage.runtimes.whisper.priority import background, background_session
from moorage.runtimes.whisper.routes import Routes
from moorage.wire.runtime import SpeechSettings


class Whisper:
    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._library = Library(settings)
        self._jobs: Jobs | None = None
        self.plan = (
            f"{settings.max_calls} recordings at once, {settings.threads} threads each, niceness {settings.niceness}"
        )

    def load(self) -> None:
        """On a thread of low priority, which the library's own threads inherit."""
        errors: list[EngineError] = []

        def work() -> None:
            background(self._settings.niceness)
            try:
                self._library.load()
            except EngineError as error:
                errors.append(error)

        background_session(self._settings.niceness)
        thread = threading.Thread(target=work, name="load")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        self._jobs = Jobs(self._library, self._settings)
        try:
            yield Routes(self._jobs).app()
        finally:
            self._jobs.stop()

    def close(self) -> None:
        """What is still worked on ends with the process."""
