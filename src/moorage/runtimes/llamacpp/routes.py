"""The inference routes over one loaded model."""

from moorage.runtimes.encoding.port import Encoder
from moorage.runtimes.encoding.routes import encoder_posts, expect
from moorage.runtimes.host.app import App, Post
from moorage.runtimes.host.asgi import Send, reply_json
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.chat import Chat
from moorage.runtimes.llamacpp.completions import Completion
from moorage.runtimes.llamacpp.generation import Call, Generation
from moorage.runtimes.llamacpp.grammar import Grammars
from moorage.runtimes.llamacpp.listener import Listener, ModelInfo
from moorage.runtimes.llamacpp.metrics import Metrics
from moorage.runtimes.llamacpp.tokens import detokenize, tokenize
from moorage.wire.api.chat import ChatRequest
from moorage.wire.api.completions import CompletionRequest
from moorage.wire.api.decoding import decode
from moorage.wire.api.sampling import Sampling
from moorage.wire.api.tokens import DetokenizeRequest, TokenizeRequest
from moorage.wire.runtime import LlamaCppSettings


class Routes:
    def __init__(
        self,
        settings: LlamaCppSettings,
        info: ModelInfo,
        caller: Caller,
        listener: Listener,
        encoder: Encoder,
        fingerprint: str,
    ) -> None:
        self._settings = settings
        self._info = info
        self._caller = caller
        self._listener = listener
        self._encoder = encoder
        self._grammars = Grammars(caller, listener)
        self._fingerprint = fingerprint

    def app(self) -> App:
        return App(
            self._settings,
            max_model_len=self._info.context,
            scrape=Metrics(self._caller).text,
            posts=encoder_posts(self._encoder, self._settings.served_name) | self._posts(),
        )

    def _posts(self) -> dict[str, Post]:
        return {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/tokenize": self._tokenize,
            "/detokenize": self._detokenize,
        }

    async def _chat(self, body: bytes, send: Send) -> None:
        request = decode(ChatRequest, body)
        self._expect(request.model)
        await self._generate(Chat(request, self._info), request, send)

    async def _complete(self, body: bytes, send: Send) -> None:
        request = decode(CompletionRequest, body)
        self._expect(request.model)
        await self._generate(Completion(request, self._info), request, send)

    async def _generate(self, call: Call, request: Sampling, send: Send) -> None:
        model = request.model or self._settings.served_name
        generation = Generation(call, model, self._fingerprint, self._grammars)
        if request.stream:
            await generation.stream(send, include_usage=request.include_usage)
        else:
            await generation.whole(send)

    async def _tokenize(self, body: bytes, send: Send) -> None:
        await reply_json(send, await tokenize(decode(TokenizeRequest, body), self._info, self._listener))

    async def _detokenize(self, body: bytes, send: Send) -> None:
        await reply_json(send, await detokenize(decode(DetokenizeRequest, body), self._info, self._listener))

    def _expect(self, model: str) -> None:
        expect(model or self._settings.served_name, self._settings.task, ("generate",))
