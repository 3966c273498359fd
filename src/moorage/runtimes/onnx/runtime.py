"""The library as the host runs it."""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from moorage.runtimes.encoding import routes
from moorage.runtimes.host.app import App
from moorage.runtimes.host.priority import background, background_session
from moorage.runtimes.onnx.encoder import OnnxEncoder
from moorage.runtimes.onnx.metrics import Metrics
from moorage.runtimes.onnx.model import Model
from moorage.wire.runtime import EncoderSettings


class Onnx:
    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
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
            self._model = thread.submit(Model, self._settings).result()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        assert self._model is not None, "load first"
        settings = self._settings
        encoder = OnnxEncoder(self._model, settings)
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
