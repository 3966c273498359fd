"""Text completions (OpenAI's legacy route): prompts in text or tokens, one or many."""

from collections.abc import Iterator
from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.runtimes.generating.port import Generator, ModelInfo, Order, Prompt
from moorage.runtimes.generating.refusals import context_exceeded
from moorage.runtimes.generating.sampling import token_ids
from moorage.wire.api.completions import CompletionRequest

Json = dict[str, Any]
PROMPTS_MAX = 2048
SPECIAL_TOKENS = 4
"""At most so many are put around a text."""


class Completion:
    """One call. Construct → orders → stream or fold."""

    stream_object = "text_completion"
    whole_object = "text_completion"
    id_prefix = "cmpl-"

    def __init__(self, request: CompletionRequest, info: ModelInfo) -> None:
        """Raises BadRequest."""
        self._request = request
        self._info = info
        self._n = request.n or 1
        self._prompts = prompts(request.prompt, "prompt", info)
        self._echoes: list[str] = []
        self._written: dict[int, int] = {}
        self._check()

    async def orders(self, generator: Generator, usage: Usage) -> list[Order]:
        request, context = self._request, self._info.context
        if request.echo:
            self._echoes = [
                prompt if isinstance(prompt, str) else await generator.text(prompt) for prompt in self._prompts
            ]
        if request.max_tokens == 0:
            for place, echo in enumerate(self._echoes):
                usage.add(place, read=len(await generator.tokens(echo, special=True)))
            return []
        if len(self._prompts) > 1:
            # An engine checks each when its turn comes, when a stream has long begun.
            for prompt in self._prompts:
                await check_length(prompt, context, generator)
        return [
            Order(
                sampling=request,
                max_tokens=min(request.max_tokens or context, context),
                prompt=prompt,
                place=place,
                logprobs=request.logprobs,
            )
            for place, prompt in enumerate(self._prompts)
        ]

    def chunk_choices(self, piece: Piece) -> Iterator[Json]:
        """The `choices` entries of the chunks one piece makes."""
        echo = self._echo(piece.index) if piece.index not in self._written else ""
        before = self._written.get(piece.index, len(echo))
        self._written[piece.index] = before + len(piece.text)
        logprobs = _logprobs(piece, self._request.logprobs, before) if self._request.logprobs is not None else None
        text = echo + piece.text
        if text or piece.logprobs or piece.finish is not None:
            yield {"text": text, "index": piece.index, "logprobs": logprobs, "finish_reason": piece.finish}

    def fold(self, pieces: list[Piece]) -> list[Json]:
        """The `choices` of a whole reply."""
        choices: dict[int, Json] = {}
        for piece in pieces:
            for entry in self.chunk_choices(piece):
                known = choices.setdefault(piece.index, {**entry, "text": ""})
                known["text"] += entry["text"]
                known["finish_reason"] = entry["finish_reason"] or known["finish_reason"]
                if known["logprobs"] is not None and known["logprobs"] is not entry["logprobs"]:
                    for key, values in entry["logprobs"].items():
                        known["logprobs"][key].extend(values)
        if self._request.max_tokens == 0:
            return [self._only_echo(index) for index in range(len(self._prompts) * self._n)]
        return [choices[index] for index in sorted(choices)]

    def _only_echo(self, index: int) -> Json:
        return {"text": self._echo(index), "index": index, "logprobs": None, "finish_reason": "length"}

    def _echo(self, index: int) -> str:
        return self._echoes[index // self._n] if self._echoes else ""

    def _check(self) -> None:
        request = self._request
        if len(self._prompts) * self._n > PROMPTS_MAX:
            raise BadRequest(
                f"{len(self._prompts)} prompts with n {self._n} are more than {PROMPTS_MAX} choices in one call: send "
                "several calls",
                param="n",
            )
        if request.suffix:
            raise BadRequest("suffix is not supported by this engine", param="suffix", code="unsupported_parameter")
        if request.best_of is not None and request.best_of != self._n:
            raise BadRequest("best_of other than n is not supported by this engine", param="best_of")
        if request.echo and request.logprobs is not None:
            raise BadRequest("logprobs of an echoed prompt are not supported by this engine", param="logprobs")
        if request.max_tokens == 0 and (not request.echo or request.stream):
            raise BadRequest("max_tokens must be at least 1 (0 only with echo and without stream)", param="max_tokens")


def prompts(given: str | list[Any], param: str, info: ModelInfo) -> list[Prompt]:
    """One prompt or many, in text or tokens. Raises BadRequest for an empty or mixed one."""
    if isinstance(given, str):
        return [_filled(given, param)]
    if not given:
        raise BadRequest(f"{param} must not be empty", param=param, code="empty_input")
    kinds: set[Any] = {type(entry) for entry in given}
    if len(kinds) > 1:
        raise BadRequest(f"{param} must be strings, tokens, or arrays of tokens, not a mixture", param=param)
    if kinds == {int}:
        return [token_ids(given, param, info)]
    if len(given) > PROMPTS_MAX:
        raise BadRequest(f"{param} may hold {PROMPTS_MAX} entries, not {len(given)}", param=param)
    if kinds == {str}:
        return [_filled(entry, f"{param}[{place}]") for place, entry in enumerate(given)]
    return [
        token_ids(_filled(entry, f"{param}[{place}]"), f"{param}[{place}]", info) for place, entry in enumerate(given)
    ]


async def check_length(prompt: Prompt, context: int, generator: Generator) -> None:
    """Raises BadRequest for one of more than `context` tokens. Short texts need no counting: a token has a byte."""
    length = len(prompt) if isinstance(prompt, list) else len(prompt.encode()) + SPECIAL_TOKENS
    if length > context and isinstance(prompt, str):
        length = len(await generator.tokens(prompt, special=True))
    if length > context:
        raise context_exceeded(length, context)


def _filled(entry: Any, param: str) -> Any:
    if not entry:
        raise BadRequest(f"{param} must not be empty", param=param, code="empty_input")
    return entry


def _logprobs(piece: Piece, top: int, before: int) -> Json:
    """The legacy shape: parallel arrays, offsets in characters of the choice's text."""
    offsets: list[int] = []
    for entry in piece.logprobs:
        offsets.append(before)
        before += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in piece.logprobs],
        "token_logprobs": [entry["logprob"] for entry in piece.logprobs],
        "top_logprobs": [_alternatives(entry, top) for entry in piece.logprobs],
        "text_offset": offsets,
    }


def _alternatives(entry: Json, top: int) -> Json:
    """Token → logprob of the likeliest `top`, and of the token taken."""
    likeliest = {other["token"]: other["logprob"] for other in entry["top_logprobs"][:top]}
    return {**likeliest, entry["token"]: entry["logprob"]}
