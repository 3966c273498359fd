"""The fake engine: an OpenAI-compatible server with real sockets, quick, predictable, and broken on demand."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, cast

from moorage.testing import encoders, replies
from moorage.testing.connection import ClientGone, Connection, Request
from moorage.testing.delivery import Delivery, FaultStruck, Reply
from moorage.testing.faults import Fault, Faults, Plan
from moorage.testing.forms import Form
from moorage.testing.record import Call, Record
from moorage.testing.replies import Generation
from moorage.testing.speech import Transcript

METRICS: Mapping[str, str] = {
    "running": "vllm:num_requests_running",
    "queued": "vllm:num_requests_waiting",
    "kv_used": "vllm:kv_cache_usage_perc",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "tokens": "vllm:generation_tokens_total",
}
"""What `/metrics` tells, under vLLM's names."""

_GENERATION = ("/v1/chat/completions", "/v1/completions")
_SPEECH = ("/v1/audio/transcriptions", "/v1/audio/translations")
_WORK = (*_GENERATION, *encoders.ROUTES, *_SPEECH)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the engine behaves when nothing is broken."""

    model: str = "fake"
    """The name in every reply, whatever the call asked for."""
    token: str = ""
    """Demanded as a bearer token of everything but /health and the /_ routes."""
    reply_tokens: int = 16
    """Length of a reply that names no bound; one that does is exactly so long."""
    tokens_per_s: float | None = None
    """Pace of each reply; None is as fast as it goes."""
    prompt_delay_s: float = 0.0
    """Before the headers of every reply."""
    prompt_tokens_per_s: float | None = None
    """Adds the prompt's tokens ÷ this to the delay."""
    slots: int | None = None
    """Calls worked on at once, the others wait; None is no bound."""
    cancels: Literal["always", "streams", "never"] = "always"
    """Which work stops when its client leaves."""
    max_model_len: int = 8192
    start_delay_s: float = 0.0
    """/health answers 503 for so long after the start."""
    strict_model: bool = False
    """404 for a call that names another model."""
    may_exit: bool = False
    """The fault `exit` ends this process."""


class FakeEngine:
    """A server that chats, embeds, ranks, labels and transcribes, whose faults and counts a test holds in its hand.

        async with FakeEngine(tokens_per_s=50) as engine:
            engine.fault("stall", after=3)
            ...  # call engine.address
            assert engine.record.cancelled == 1

    `uds` is the path of a Unix socket; without it, it listens on 127.0.0.1 and `port` (0 takes a free one).
    The other arguments are those of `Behaviour`.
    Other processes reach `GET /_state`, `POST /_fault` (`{"kind": …}` or a list), `DELETE /_fault`.
    """

    def __init__(
        self,
        *faults: Fault,
        uds: str = "",
        port: int = 0,
        metrics: Mapping[str, str] = METRICS,
        kept_calls: int = 1000,
        kept_bytes: int = 1 << 20,
        **behaviour: Any,
    ) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.record = Record(kept_calls=kept_calls, kept_bytes=kept_bytes)
        self._faults = Faults(faults)
        self._metrics = metrics
        self._uds, self._port = uds, port
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._slots = asyncio.Semaphore(self.behaviour.slots or 1_000_000_000)
        self._ready_at = 0.0
        self._ranks = 1
        self._reopening: asyncio.Task[None] | None = None
        self._routes: dict[tuple[str, str], Callable[[Request, Call, Delivery], Awaitable[None]]] = {
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._tell_metrics,
            ("GET", "/v1/models"): self._models,
            ("POST", "/tokenize"): self._tokenize,
            **{("POST", path): self._encode for path in encoders.ROUTES},
            **{("POST", path): self._generate for path in _GENERATION},
            **{("POST", path): self._transcribe for path in _SPEECH},
            ("POST", "/scale_elastic_ep"): self._scale,
            ("POST", "/is_scaling_elastic_ep"): self._scaling,
            ("GET", "/_state"): self._state,
            ("POST", "/_fault"): self._set_fault,
            ("DELETE", "/_fault"): self._set_fault,
        }

    @property
    def address(self) -> str:
        """`unix:/path` or `http://127.0.0.1:port`."""
        return f"unix:{self._uds}" if self._uds else f"http://127.0.0.1:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """The last calls for a model's work, oldest first."""
        return [call for call in self.record.calls if call.path in _WORK]

    def fault(self, kind: str, **values: Any) -> None:
        """From now on every call fails so, in place of what was set before."""
        self._faults.set((Fault(kind=kind, **values),))

    def heal(self) -> None:
        """Nothing is broken any more."""
        self._faults.set(())

    async def start(self) -> None:
        self._ready_at = time.monotonic() + self.behaviour.start_delay_s
        await self._listen()

    async def stop(self) -> None:
        """Stop listening, drop every connection and its work."""
        if self._reopening:
            self._reopening.cancel()
        await self.refuse()
        await asyncio.gather(*(connection.stop() for connection in list(self._connections)))

    async def refuse(self) -> None:
        """Take no new connection; those that are open stay."""
        server, self._server = self._server, None
        if server:
            server.close()
            if self._uds:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._uds)

    async def accept(self) -> None:
        """Take connections again, at the same address."""
        if self._server is None:
            await self._listen()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        if self._uds:
            self._server = await loop.create_unix_server(self._connect, self._uds)
        else:
            self._server = await loop.create_server(self._connect, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    def _connect(self) -> Connection:
        self.record.connections += 1
        return Connection(self._serve, self._connections)

    async def _serve(self, connection: Connection, request: Request) -> None:
        """Answer one request, and book how it ended."""
        call = self.record.arrived(request.method, request.path, request.headers, request.body)

        def left() -> None:
            call.disconnected_at = time.monotonic()

        connection.on_gone = left
        try:
            await self._answer(connection, request, call)
            call.outcome = "finished"
        except ClientGone:
            call.outcome = "cancelled"
        except FaultStruck as struck:
            call.outcome = "faulted"
            if struck.fault.kind == "refuse":
                self._reopening = asyncio.get_running_loop().create_task(self._shut_for(struck.fault.s or 1.0))
        finally:
            connection.on_gone = None
            call.finished_at = time.monotonic()

    async def _answer(self, connection: Connection, request: Request, call: Call) -> None:
        plain = Delivery(connection, request, call, Plan(), may_exit=self.behaviour.may_exit)
        route = self._routes.get((request.method, request.path))
        if request.path == f"/v1/models/{self.behaviour.model}":
            route = self._models
        if route is None:
            known = any(path == request.path for _, path in self._routes)
            await plain.error(405 if known else 404, f"no route {request.method} {request.path}")
            return
        token = self.behaviour.token
        guarded = token and request.path[:2] != "/_" and request.path != "/health"
        if guarded and request.header("authorization") != f"Bearer {token}":
            await plain.error(401, "the bearer token is wrong")
            return
        if request.path.startswith("/_"):
            await route(request, call, plain)
            return
        try:
            plan = self._faults.plan(request.path, replies.last_of(_body(request)) if request.method == "POST" else "")
        except ValueError as error:
            await plain.error(400, f"the body or its directive is wrong: {error}")
            return
        call.faults = tuple(plan)
        delivery = Delivery(connection, request, call, plan, may_exit=self.behaviour.may_exit)
        await delivery.begin()
        if not delivery.answered:
            await route(request, call, delivery)

    async def _generate(self, request: Request, call: Call, delivery: Delivery) -> None:
        body = _body(request)
        named = delivery.plan.get("model")
        model = (named.name or "someone-else") if named else self.behaviour.model
        generation = Generation(request.path, body, model=model, default_tokens=self.behaviour.reply_tokens)
        if generation.prompt_tokens + len(generation.tokens) > self.behaviour.max_model_len:
            await delivery.error(400, f"the context is {self.behaviour.max_model_len} tokens long")
            return
        await self._work(generation, generation.prompt_tokens, body, call, delivery)

    async def _transcribe(self, request: Request, call: Call, delivery: Delivery) -> None:
        form = Form(request.header("content-type"), request.body)
        try:
            transcript = Transcript(form, default_tokens=self.behaviour.reply_tokens)
        except ValueError as error:
            await delivery.error(400, str(error))
            return
        await self._work(transcript, 0, form.fields, call, delivery)

    async def _work(
        self, generation: Reply, prompt_tokens: int, body: Mapping[str, Any], call: Call, delivery: Delivery
    ) -> None:
        """Hold a slot for as long as it takes, and say it token by token."""
        cancels = self.behaviour.cancels
        delivery.connection.deaf = cancels == "never" or (cancels == "streams" and not generation.stream)
        async with self._working(call, delivery, prompt_tokens, body):
            if delivery.answered:
                return
            deliver = delivery.stream if generation.stream else delivery.whole
            await deliver(generation, self._pace(generation, call, delivery))

    def _pace(self, generation: Reply, call: Call, delivery: Delivery) -> Callable[[], Awaitable[None]]:
        """What to await before each token."""
        begin, made = time.monotonic(), 0

        async def next_token() -> None:
            nonlocal made
            made += 1
            if self.behaviour.tokens_per_s:
                await delivery.connection.sleep(max(0.0, begin + made / self.behaviour.tokens_per_s - time.monotonic()))
            elif made % 8 == 0:
                await asyncio.sleep(0)
            self.record.token(call, generation.n)

        return next_token

    @contextlib.asynccontextmanager
    async def _working(
        self, call: Call, delivery: Delivery, prompt_tokens: int, body: Mapping[str, Any]
    ) -> AsyncGenerator[None]:
        """Hold a slot, read the prompt, count the call."""
        connection = delivery.connection
        self.record.queued += 1
        try:
            await self._take_slot(connection)
        except ClientGone:
            self.record.cancelled += 1
            raise
        finally:
            self.record.queued -= 1
        outcome: Literal["finished", "cancelled", "faulted"] = "faulted"
        self.record.begin()
        try:
            connection.check()
            rate = self.behaviour.prompt_tokens_per_s
            delay_s = self.behaviour.prompt_delay_s + (prompt_tokens / rate if rate else 0.0)
            if delay_s:
                await connection.sleep(delay_s)
            self.record.prompt_tokens += prompt_tokens
            if self.behaviour.strict_model and body.get("model") != self.behaviour.model:
                await delivery.error(404, f"no model {body.get('model')!r} here", code="model_not_found")
            yield
            outcome = "finished"
        except ClientGone:
            outcome = "cancelled"
            raise
        finally:
            self.record.end(outcome)
            self._slots.release()

    async def _take_slot(self, connection: Connection) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        taking = asyncio.ensure_future(self._slots.acquire())
        leaving = asyncio.ensure_future(connection.gone.wait())
        try:
            await asyncio.wait({taking} if connection.deaf else {taking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not taking.done():
                taking.cancel()
        if taking.cancelled() or not taking.done():
            raise ClientGone

    async def _encode(self, request: Request, call: Call, delivery: Delivery) -> None:
        body = _body(request)
        delivery.connection.deaf = self.behaviour.cancels != "always"
        async with self._working(call, delivery, replies.count(replies.prompt_of(body)), body):
            if delivery.answered:
                return
            try:
                await delivery.body(encoders.ROUTES[request.path](body, self.behaviour.model))
            except ValueError as error:
                await delivery.error(400, str(error))

    async def _tokenize(self, request: Request, call: Call, delivery: Delivery) -> None:
        await delivery.body(replies.tokenized(_body(request), max_model_len=self.behaviour.max_model_len))

    async def _health(self, request: Request, call: Call, delivery: Delivery) -> None:
        if time.monotonic() < self._ready_at:
            await delivery.error(503, "Loading model")
        else:
            await delivery.body(b'{"status":"ok"}')

    async def _tell_metrics(self, request: Request, call: Call, delivery: Delivery) -> None:
        values = vars(self.record) | {"kv_used": min(1.0, self.record.running / (self.behaviour.slots or 256))}
        labels = f'{{model_name="{self.behaviour.model}"}}'
        lines = [f"# TYPE {name} gauge\n{name}{labels} {values[key]:g}\n" for key, name in self._metrics.items()]
        await delivery.body("".join(lines).encode(), content_type="text/plain; version=0.0.4")

    async def _models(self, request: Request, call: Call, delivery: Delivery) -> None:
        model = {
            "id": self.behaviour.model,
            "object": "model",
            "created": replies.CREATED,
            "owned_by": "fake",
            "max_model_len": self.behaviour.max_model_len,
        }
        listing = {"object": "list", "data": [model]} if request.path == "/v1/models" else model
        await delivery.body(replies.encode(listing))

    async def _scale(self, request: Request, call: Call, delivery: Delivery) -> None:
        """As vLLM with expert parallelism: nothing else is known of it here."""
        ranks = _body(request).get("new_data_parallel_size")
        if not isinstance(ranks, int) or ranks < 1:
            await delivery.error(400, "new_data_parallel_size must be a positive integer")
            return
        self._ranks = ranks
        await delivery.body(replies.encode({"message": f"Scaled to {ranks} data parallel engines"}))

    async def _scaling(self, request: Request, call: Call, delivery: Delivery) -> None:
        await delivery.body(
            replies.encode({"is_scaling_elastic_ep": False, "requested_data_parallel_size": self._ranks})
        )

    async def _state(self, request: Request, call: Call, delivery: Delivery) -> None:
        await delivery.body(replies.encode(self.record.as_json()))

    async def _set_fault(self, request: Request, call: Call, delivery: Delivery) -> None:
        try:
            values: Any = json.loads(request.body) if request.method == "POST" else []
            listed = cast("list[dict[str, Any]]", values if isinstance(values, list) else [values])
            self._faults.set(tuple(Fault.of(one) for one in listed))
        except (ValueError, TypeError) as error:
            await delivery.error(400, f"not a fault: {error}")
            return
        await delivery.body(replies.encode({"faults": listed}))

    async def _shut_for(self, seconds: float) -> None:
        await self.refuse()
        await asyncio.sleep(seconds)
        await self.accept()


def _body(request: Request) -> Mapping[str, Any]:
    """What a JSON object, or a form, says. Raises ValueError."""
    if request.header("content-type").startswith("multipart/"):
        return Form(request.header("content-type"), request.body).fields
    try:
        value: Any = json.loads(request.body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return cast("dict[str, Any]", value)
