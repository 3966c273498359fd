"""The routes of text generation, for the host's app."""

from moorage.runtimes.encoding.routes import expect
from moorage.runtimes.generating.chat import Chat
from moorage.runtimes.generating.completions import Completion
from moorage.runtimes.generating.port import Generator
from moorage.runtimes.generating.reply import Call, Generation
from moorage.runtimes.generating.tokens import detokenize, tokenize
from moorage.runtimes.host.app import Post
from moorage.runtimes.host.asgi import Send, reply_json
from moorage.wire.api.chat import ChatRequest
from moorage.wire.api.completions import CompletionRequest
from moorage.wire.api.decoding import decode
from moorage.wire.api.sampling import Sampling
from moorage.wire.api.tokens import DetokenizeRequest, TokenizeRequest
from moorage.wire.names import Task


class Routes:
    """`posts` of one loaded model."""

    def __init__(self, generator: Generator, served_name: str, task: Task) -> None:
        self._generator = generator
        self._served_name = served_name
        self._task: Task = task

    @property
    def posts(self) -> dict[str, Post]:
        return {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/tokenize": self._tokenize,
            "/detokenize": self._detokenize,
        }

    async def _chat(self, body: bytes, send: Send) -> None:
        request = decode(ChatRequest, body)
        self._expect(request.model)
        await self._generate(Chat(request, self._generator.info), request, send)

    async def _complete(self, body: bytes, send: Send) -> None:
        request = decode(CompletionRequest, body)
        self._expect(request.model)
        await self._generate(Completion(request, self._generator.info), request, send)

    async def _generate(self, call: Call, request: Sampling, send: Send) -> None:
        generation = Generation(call, request.model or self._served_name, self._generator)
        if request.stream:
            await generation.stream(send, include_usage=request.include_usage)
        else:
            await generation.whole(send)

    async def _tokenize(self, body: bytes, send: Send) -> None:
        await reply_json(send, await tokenize(decode(TokenizeRequest, body), self._generator))

    async def _detokenize(self, body: bytes, send: Send) -> None:
        await reply_json(send, await detokenize(decode(DetokenizeRequest, body), self._generator))

    def _expect(self, model: str) -> None:
        expect(model or self._served_name, self._task, ("generate",))
