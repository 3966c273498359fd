"""The library as the host runs it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from moorage.runtimes.host.app import App
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.encoder import LlamaCppEncoder
from moorage.runtimes.llamacpp.library import Library
from moorage.runtimes.llamacpp.listener import Listener, private_socket
from moorage.runtimes.llamacpp.routes import Routes
from moorage.runtimes.llamacpp.slots import Slots
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
        caller = Caller(self._library, Slots(self._settings.slots))
        try:
            info = await listener.info(self._settings.context)
            encoder = await LlamaCppEncoder.of(self._settings.task, info, caller, listener)
            yield Routes(self._settings, info, caller, listener, encoder, self._library.fingerprint).app()
        finally:
            caller.close()
            await listener.close()

    def close(self) -> None:
        self._library.close()
