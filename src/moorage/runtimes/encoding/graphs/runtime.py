"""The runtime of an encoder's graph behind the host."""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from moorage.runtimes.encoding import routes
from moorage.runtimes.encoding.graphs.encoder import GraphEncoder
from moorage.runtimes.encoding.graphs.metrics import Metrics
from moorage.runtimes.encoding.graphs.model import Model, Open
from moorage.runtimes.host.app import App
from moorage.runtimes.host.priority import background, background_session
from moorage.wire.runtime import EncoderSettings


class Graphs:
    """As host.process.Runtime has it, with the library that `open` stands for."""

    def __init__(self, settings: EncoderSettings, open: Open) -> None:
        self._settings = settings
        self._open = open
        self._model: Model | None = None
        self.plan = (
            f"to {settings.task}, {settings.context} tokens a text, {settings.batch_tokens} tokens a step, "
            f"{settings.threads} threads, {settings.max_calls} calls at once"
        )

    def load(self) -> None:
        """On a thread of low priority, which the library's own threads inherit."""
        niceness = self._settings.niceness
        background_session(niceness)
        with ThreadPoolExecutor(1, initializer=background, initargs=(niceness,)) as thread:
            self._model = thread.submit(Model, self._settings, self._open).result()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        assert self._model is not None, "load first"
        settings = self._settings
        encoder = GraphEncoder(self._model, settings)
        encoder.start()
        try:
            yield App(
                settings,
                max_model_len=encoder.profile.context,
                scrape=Metrics(encoder.batcher).text,
                posts=routes.posts(encoder, settings.served_name),
            )
        finally:
            encoder.stop()

    def close(self) -> None:
        self._model = None
