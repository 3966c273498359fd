"""Chat completions: the client's request into works, the pieces back into OpenAI's bodies and chunks."""

from collections.abc import Iterator
from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.generating.forced import ForcedCall, call_id
from moorage.runtimes.generating.messages import instructed, messages
from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.runtimes.generating.port import Generator, Messages, ModelInfo, Order
from moorage.runtimes.generating.refusals import context_exceeded
from moorage.runtimes.generating.schema import budget, checked
from moorage.runtimes.generating.tools import ToolPlan, plan
from moorage.wire.api.chat import ChatRequest, JsonObjectFormat, ResponseFormat, TextFormat

Json = dict[str, Any]


class Chat:
    """One call. Construct → orders → stream or fold."""

    stream_object = "chat.completion.chunk"
    whole_object = "chat.completion"
    id_prefix = "chatcmpl-"

    def __init__(self, request: ChatRequest, info: ModelInfo) -> None:
        """Raises BadRequest."""
        self._request = request
        self._info = info
        self._messages = messages(request.messages)
        self._plan: ToolPlan = plan(request)
        self._top = request.top_logprobs or 0
        self._check()
        self._forced: dict[int, ForcedCall] = {}
        self._begun: set[int] = set()
        self._called: dict[int, set[int]] = {}

    async def orders(self, generator: Generator, usage: Usage) -> list[Order]:
        request, context = self._request, self._info.context
        most = min(request.max_completion_tokens or request.max_tokens or context, context)
        if self._plan.mode == "forced":
            return [await self._force(most, generator)]
        schema = _format(request.response_format) if request.response_format is not None else None
        # Beside a format, tools that the template does not show are left out: llama.cpp refuses both together.
        shown = self._plan.mode == "auto" and (self._info.supports_tools or request.response_format is None)
        prompt = Messages(
            messages=self._messages,
            tools=self._plan.bodies if shown else None,
            parallel_tool_calls=request.parallel_tool_calls is not False,
            template=request.chat_template_kwargs,
        )
        return [
            Order(
                sampling=request,
                max_tokens=most,
                prompt=prompt,
                schema=schema,
                schema_param="response_format.json_schema.schema",
                logprobs=self._top if request.logprobs else None,
            )
        ]

    def chunk_choices(self, piece: Piece) -> Iterator[Json]:
        """The `choices` entries of the chunks one piece makes."""
        for delta in self._deltas(piece):
            if piece.index not in self._begun:
                self._begun.add(piece.index)
                delta = {"role": "assistant", "content": None if "tool_calls" in delta else "", **delta}
            logprobs = self._logprobs(piece) if "content" in delta else None
            yield {"index": piece.index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        if piece.finish is not None:
            delta = {} if piece.index in self._begun else {"role": "assistant", "content": ""}
            self._begun.add(piece.index)
            finish = self._finish(piece)
            yield {"index": piece.index, "delta": delta, "logprobs": None, "finish_reason": finish}

    def fold(self, pieces: list[Piece]) -> list[Json]:
        """The `choices` of a whole reply."""
        choices: dict[int, Json] = {}
        for piece in pieces:
            for entry in self.chunk_choices(piece):
                choice = choices.setdefault(piece.index, _empty_choice(piece.index))
                _add(choice, entry)
        return [_whole(choices[index]) for index in sorted(choices)]

    def _check(self) -> None:
        request, last = self._request, self._request.messages[-1]
        if last.role == "assistant" and last.tool_calls:
            param = f"messages[{len(request.messages) - 1}].tool_calls"
            raise BadRequest(f"{param}: what the tools answered must follow, in messages of role 'tool'", param=param)
        if request.top_logprobs and not request.logprobs:
            raise BadRequest("top_logprobs needs logprobs: true", param="top_logprobs")
        if request.response_format is not None:
            wanted = _format(request.response_format)
            if wanted is not None and self._plan.mode == "forced":
                raise BadRequest("response_format cannot be combined with a forced tool call", param="response_format")
            if wanted is not None and self._plan.mode == "auto" and self._info.supports_tools:
                raise BadRequest(
                    "response_format cannot be combined with tools that the model may call: set tool_choice to 'none', "
                    "or leave out one of the two",
                    param="response_format",
                )
        if request.chat_template_kwargs:
            checked(request.chat_template_kwargs, "chat_template_kwargs")

    async def _force(self, most: int, generator: Generator) -> Order:
        """The prompt with the tools in it, and a schema that leaves nothing but the call."""
        instruct = not self._info.supports_tools
        spoken = instructed(self._messages, self._plan.instruction()) if instruct else self._messages
        prompt = await generator.prompt(
            spoken,
            None if instruct else self._plan.bodies,
            **({"chat_template_kwargs": kwargs} if (kwargs := self._request.chat_template_kwargs) else {}),
        )
        used = len(await generator.tokens(prompt, special=True))
        room = self._info.context - used
        if room < 1:
            raise context_exceeded(used, self._info.context)
        schema = self._plan.schema(budget(min(room, most), self._info.parameters))
        return Order(sampling=self._request, max_tokens=most, prompt=prompt, schema=schema, schema_param="tools")

    def _deltas(self, piece: Piece) -> list[Json]:
        if self._plan.mode == "forced":
            call = self._forced.setdefault(piece.index, ForcedCall(self._plan.only))
            return [{"tool_calls": [entry]} for entry in call.feed(piece.text)] if piece.text else []
        deltas: list[Json] = []
        if piece.reasoning:
            deltas.append({"reasoning_content": piece.reasoning})
        if piece.text or piece.logprobs:
            deltas.append({"content": piece.text})
        if piece.tool_calls:
            deltas.append({"tool_calls": [self._tool_call(piece.index, entry) for entry in piece.tool_calls]})
        return deltas

    def _tool_call(self, choice: int, entry: Json) -> Json:
        """The engine's piece of a tool call with an id of ours; llama.cpp gives none for some templates."""
        index = int(entry.get("index", 0))
        function: Json = entry.get("function") or {}
        called = self._called.setdefault(choice, set())
        if index in called:
            return {"index": index, "function": {"arguments": function.get("arguments") or ""}}
        called.add(index)
        opening = {"name": function.get("name") or "", "arguments": function.get("arguments") or ""}
        return {"index": index, "id": call_id(), "type": "function", "function": opening}

    def _finish(self, piece: Piece) -> str:
        forced = self._forced.get(piece.index)
        if forced is not None and forced.complete:
            return "tool_calls"
        if piece.finish == "stop" and self._called.get(piece.index):
            return "tool_calls"
        return piece.finish or "stop"

    def _logprobs(self, piece: Piece) -> Json | None:
        if not self._request.logprobs:
            return None
        return {"content": [_logprob(entry, self._top) for entry in piece.logprobs], "refusal": None}


def _format(wanted: ResponseFormat) -> Json | None:
    """The schema of the reply, None for plain text."""
    if isinstance(wanted, TextFormat):
        return None
    if isinstance(wanted, JsonObjectFormat):
        return {"type": "object"}
    return checked(wanted.json_schema.schema or {}, "response_format.json_schema.schema")


def _logprob(entry: Json, top: int) -> Json:
    return {
        "token": entry["token"],
        "logprob": entry["logprob"],
        "bytes": entry["bytes"],
        "top_logprobs": [
            {"token": other["token"], "logprob": other["logprob"], "bytes": other["bytes"]}
            for other in entry["top_logprobs"][:top]
        ],
    }


def _empty_choice(index: int) -> Json:
    return {"index": index, "text": [], "reasoning": [], "calls": {}, "tokens": [], "finish_reason": None}


def _add(choice: Json, entry: Json) -> None:
    """One chunk's entry into the choice it belongs to."""
    delta = entry["delta"]
    choice["text"].append(delta.get("content") or "")
    choice["reasoning"].append(delta.get("reasoning_content") or "")
    for call in delta.get("tool_calls", ()):
        known = choice["calls"].setdefault(call["index"], {**call, "function": {**call["function"], "arguments": ""}})
        known["function"]["arguments"] += call["function"]["arguments"]
    if entry["logprobs"] is not None:
        choice["tokens"].extend(entry["logprobs"]["content"])
    choice["finish_reason"] = entry["finish_reason"] or choice["finish_reason"]


def _whole(choice: Json) -> Json:
    text = "".join(choice["text"])
    calls = [
        {key: value for key, value in call.items() if key != "index"} for _, call in sorted(choice["calls"].items())
    ]
    message: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    if reasoning := "".join(choice["reasoning"]):
        message["reasoning_content"] = reasoning
    return {
        "index": choice["index"],
        "message": message,
        "logprobs": {"content": choice["tokens"], "refusal": None} if choice["tokens"] else None,
        "finish_reason": choice["finish_reason"],
    }
