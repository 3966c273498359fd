"""The library as the host runs it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from moorage.runtimes.encoding.routes import encoder_posts
from moorage.runtimes.generating.routes import Routes
from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.host.app import App
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.encoder import LlamaCppEncoder
from moorage.runtimes.llamacpp.generator import LlamaCppGenerator
from moorage.runtimes.llamacpp.library import Library
from moorage.runtimes.llamacpp.listener import Listener, private_socket
from moorage.runtimes.llamacpp.metrics import Metrics
from moorage.wire.runtime import LlamaCppSettings


class LlamaCpp:
    def __init__(self, settings: LlamaCppSettings) -> None:
        self._settings = settings
        self._library = Library(settings, private_socket(settings.socket))
        self.plan = (
            f"{settings.slots} slots of {settings.context} tokens, {settings.threads} threads, "
            f"{settings.batch_tokens} tokens a step"
        )

    def load(self) -> None:
        self._library.load()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[App]:
        listener = Listener(self._library)
        settings = self._settings
        caller = Caller(self._library, Slots(settings.slots))
        try:
            info = await listener.info(settings.context)
            encoder = await LlamaCppEncoder.of(settings.task, info, caller, listener)
            generator = LlamaCppGenerator(info, caller, listener)
            yield App(
                settings,
                max_model_len=info.context,
                scrape=Metrics(caller).text,
                posts=encoder_posts(encoder, settings.served_name)
                | Routes(generator, settings.served_name, settings.task).posts,
            )
        finally:
            caller.close()
            await listener.close()

    def close(self) -> None:
        self._library.close()
