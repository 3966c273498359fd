"""The library as the host runs it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from moorage.runtimes.encoding.routes import refusals
from moorage.runtimes.generating.port import ModelInfo
from moorage.runtimes.generating.routes import Routes
from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.host.app import App
from moorage.runtimes.openvino.generator import OpenVinoGenerator
from moorage.runtimes.openvino.library import Library
from moorage.runtimes.openvino.metrics import Metrics
from moorage.runtimes.openvino.stepping import Stepper
from moorage.wire.runtime import OpenVinoSettings


class OpenVino:
    def __init__(self, settings: OpenVinoSettings) -> None:
        self._settings = settings
        self._library = Library(settings)
        self.plan = (
            f"{settings.sequences} sequences of up to {settings.context} tokens, {settings.threads} threads, "
            f"{settings.batch_tokens} tokens a step, computed in {settings.precision}"
        )

    def load(self) -> None:
        self._library.load()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        settings, library = self._settings, self._library
        info = ModelInfo(
            context=settings.context,
            parameters=settings.parameters,
            vocabulary=library.vocabulary.size,
            embedding_length=0,
            supports_tools=library.supports_tools,
        )
        stepper, slots = Stepper(library), Slots(settings.sequences)
        generator = OpenVinoGenerator(info, library, stepper, slots)
        stepper.start()
        try:
            yield App(
                settings,
                max_model_len=info.context,
                scrape=Metrics(library, stepper, slots, generator.counters).text,
                posts=refusals(settings.served_name, settings.task)
                | Routes(generator, settings.served_name, settings.task).posts,
                failure=stepper.failure,
            )
        finally:
            await stepper.stop()

    def close(self) -> None:
        self._library.close()
