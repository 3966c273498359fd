"""The routes of the host, as plain ASGI: a dict, a token check, and one handler each."""

import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from moorage.access import keys
from moorage.errors import BadRequest, InternalError, MethodNotAllowed, MoorageError, NotAuthenticated, NotFound
from moorage.runtimes.llamacpp.asgi import (
    ClientGone,
    Receive,
    Scope,
    Send,
    body_of,
    reply,
    reply_error,
    reply_json,
    while_connected,
)
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.chat import Chat
from moorage.runtimes.llamacpp.completions import Completion
from moorage.runtimes.llamacpp.embeddings import embed
from moorage.runtimes.llamacpp.generation import Call, Generation
from moorage.runtimes.llamacpp.grammar import Grammars
from moorage.runtimes.llamacpp.listener import Listener, ModelInfo
from moorage.runtimes.llamacpp.metrics import Metrics
from moorage.runtimes.llamacpp.requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    Sampling,
    TokenizeRequest,
    decode,
)
from moorage.runtimes.llamacpp.tokens import detokenize, tokenize
from moorage.wire.names import Task
from moorage.wire.runtime import LlamaCppSettings

WORK: dict[Task, str] = {"generate": "text generation", "embed": "embeddings"}

Get = Callable[[Send], Awaitable[None]]
Post = Callable[[bytes, Send], Coroutine[Any, Any, None]]


class App:
    """Answers for one loaded model."""

    def __init__(
        self,
        settings: LlamaCppSettings,
        info: ModelInfo,
        caller: Caller,
        listener: Listener,
        metrics: Metrics,
        fingerprint: str,
    ) -> None:
        self._settings = settings
        self._info = info
        self._caller = caller
        self._listener = listener
        self._grammars = Grammars(caller, listener)
        self._metrics = metrics
        self._fingerprint = fingerprint
        self._created = int(time.time())
        self._gets: dict[str, Get] = {"/health": self._health, "/metrics": self._scrape, "/v1/models": self._models}
        self._posts: dict[str, Post] = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/embeddings": self._embed,
            "/tokenize": self._tokenize,
            "/detokenize": self._detokenize,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False

        async def tracking(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._authenticate(scope)
            await self._dispatch(scope["method"], scope["path"], receive, tracking)
        except ClientGone:
            return
        except MoorageError as error:
            if started:
                raise
            await reply_error(send, error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            if started:
                raise
            await reply_error(send, InternalError(f"the runtime failed: {type(error).__name__}; its log has more"))

    def _authenticate(self, scope: Scope) -> None:
        token = self._settings.token
        if token and not keys.carries(scope["headers"], token):
            raise NotAuthenticated("the bearer token is missing or wrong")

    async def _dispatch(self, method: str, path: str, receive: Receive, send: Send) -> None:
        if (get := self._gets.get(path)) is not None:
            if method not in {"GET", "HEAD"}:
                raise MethodNotAllowed(f"{path} takes GET, not {method}")
            await get(send)
        elif (post := self._posts.get(path)) is not None:
            if method != "POST":
                raise MethodNotAllowed(f"{path} takes POST, not {method}")
            body = await body_of(receive)
            await while_connected(receive, post(body, send))
        else:
            raise NotFound(f"there is no route {path!r}")

    async def _health(self, send: Send) -> None:
        await reply_json(send, {"status": "ok"})

    async def _scrape(self, send: Send) -> None:
        await reply(send, 200, await self._metrics.text(), b"text/plain; version=0.0.4; charset=utf-8")

    async def _models(self, send: Send) -> None:
        model = {
            "id": self._settings.served_name,
            "object": "model",
            "created": self._created,
            "owned_by": "moorage",
            "max_model_len": self._info.context,
        }
        await reply_json(send, {"object": "list", "data": [model]})

    async def _chat(self, body: bytes, send: Send) -> None:
        request = decode(ChatRequest, body)
        self._expect("generate", request.model)
        await self._generate(Chat(request, self._info), request, send)

    async def _complete(self, body: bytes, send: Send) -> None:
        request = decode(CompletionRequest, body)
        self._expect("generate", request.model)
        await self._generate(Completion(request, self._info), request, send)

    async def _generate(self, call: Call, request: Sampling, send: Send) -> None:
        model = request.model or self._settings.served_name
        generation = Generation(call, model, self._fingerprint, self._grammars)
        if request.stream:
            await generation.stream(send, include_usage=request.include_usage)
        else:
            await generation.whole(send)

    async def _embed(self, body: bytes, send: Send) -> None:
        request = decode(EmbeddingRequest, body)
        self._expect("embed", request.model)
        request.model = request.model or self._settings.served_name
        await reply_json(send, await embed(request, self._info, self._caller, self._listener))

    async def _tokenize(self, body: bytes, send: Send) -> None:
        await reply_json(send, await tokenize(decode(TokenizeRequest, body), self._info, self._listener))

    async def _detokenize(self, body: bytes, send: Send) -> None:
        await reply_json(send, await detokenize(decode(DetokenizeRequest, body), self._info, self._listener))

    def _expect(self, task: Task, model: str) -> None:
        own = self._settings.task
        if own != task:
            name = model or self._settings.served_name
            raise BadRequest(
                f"model {name!r} is for {WORK[own]}, not for {WORK[task]}", param="model", code="wrong_task"
            )
