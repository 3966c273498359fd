"""The library as the host runs it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from moorage.runtimes.encoding import routes
from moorage.runtimes.host.app import App
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
        self._model = Model(self._settings)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        assert self._model is not None, "load first"
        settings = self._settings
        encoder = OnnxEncoder(self._model, batch_tokens=settings.batch_tokens, max_calls=settings.max_calls)
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
