"""OpenVINO GenAI behind one small face. Nothing else of this runtime imports it.

Its `step` holds the interpreter's lock, so everything here is called on the event loop's own thread.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from moorage.errors import BadRequest, EngineError, InternalError, ModelError
from moorage.models.files.model import facts
from moorage.models.files.openvino import HELPERS
from moorage.models.files.openvino import read as read_graph
from moorage.runtimes.host.quiet import silence_openvino
from moorage.runtimes.openvino.cutting import in_parts
from moorage.runtimes.openvino.vocabulary import Vocabulary, plain
from moorage.wire.runtime import OpenVinoSettings

silence_openvino()

import openvino  # noqa: E402 (its telemetry is reported from its own import)
import openvino_genai  # noqa: E402

if TYPE_CHECKING:
    from openvino_genai.py_openvino_genai import GenerationHandle

Json = dict[str, Any]
Handle: TypeAlias = "GenerationHandle"

DEVICE = "CPU"
BLOCK_TOKENS = 32
"""Of the KV cache on a processor."""
WARM_UP_TOKENS = 40
"""Of the prompt that is read before the first client's: the first run compiles, and takes most of a second."""
OWN_PROPERTIES = {
    "INFERENCE_NUM_THREADS": "options.threads",
    "KV_CACHE_PRECISION": "options.kv_cache_dtype",
    "INFERENCE_PRECISION_HINT": "options.dtype",
    "sampler_num_threads": "options.threads",
}
"""What `extra_args` may not touch, and what to set instead."""


@dataclass(frozen=True)
class Output:
    """What one step added to a sequence."""

    tokens: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    finish: str | None = None


@dataclass(frozen=True)
class Sampler:
    """How tokens are drawn where a request does not say."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float


class Library:
    """Construct → load → call → close."""

    def __init__(self, settings: OpenVinoSettings) -> None:
        """Raises EngineError for extra_args that may not be."""
        self._settings = settings
        self._properties = properties(settings)
        self._pipeline: openvino_genai.ContinuousBatchingPipeline | None = None
        self._ids = itertools.count()
        self.fingerprint = f"openvino-genai-{openvino_genai.__version__.split('-')[0]}"
        self.vocabulary = Vocabulary({}, (), 0)
        self.ends: frozenset[int] = frozenset()
        self.sampler: Sampler | None = None
        """What the model's own files say; None where they are silent."""
        self.template = ""
        self._begin: list[int] = []
        """What the tokenizer puts before a text."""

    @property
    def supports_tools(self) -> bool:
        """Whether the chat template shows tools to the model."""
        return re.search(r"\btools\b", self.template) is not None

    def load(self) -> None:
        """Read the model and run it once. Raises EngineError."""
        settings = self._settings
        check(Path(settings.model_path))
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.num_kv_blocks = -(-settings.cache_tokens // BLOCK_TOKENS) + settings.sequences
        scheduler.max_num_batched_tokens = settings.batch_tokens
        scheduler.max_num_seqs = settings.sequences
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = settings.prefix_caching
        try:
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(
                settings.model_path, scheduler, DEVICE, self._properties
            )
            self._read_tokenizer()
            self._warm_up()
        except (RuntimeError, ValueError, MemoryError, IndexError) as error:
            raise EngineError(f"OpenVINO GenAI could not load {settings.model_path}: {said(error)}") from error

    def close(self) -> None:
        self._pipeline = None

    def submit(self, tokens: Sequence[int], fields: Mapping[str, Any]) -> Handle:
        """A new sequence, to be worked on from the next step on. Raises BadRequest."""
        pipeline = self._loaded()
        given = dict(fields)
        if (grammar := given.pop("grammar", None)) is not None:
            given["structured_output_config"] = openvino_genai.StructuredOutputConfig(grammar=grammar)
        ids = openvino.Tensor(np.asarray([tokens], np.int64))
        try:
            return pipeline.add_request(next(self._ids), ids, openvino_genai.GenerationConfig(**given))
        except (RuntimeError, TypeError) as error:
            raise BadRequest(f"OpenVINO GenAI refused the call: {said(error)}") from error

    def step(self) -> bool:
        """One step of all sequences. Whether anything was computed. Raises RuntimeError; nothing goes on then."""
        pipeline = self._loaded()
        pipeline.step()
        return pipeline.get_metrics().scheduled_requests > 0

    def busy(self) -> bool:
        return self._loaded().has_non_finished_requests()

    def read(self, handle: Handle) -> Output | None:
        """What is new, None where nothing is. Raises InternalError for a sequence that found no room."""
        if handle.can_read():
            for output in handle.read().values():
                finish = output.finish_reason
                if finish == openvino_genai.GenerationFinishReason.NONE:
                    return Output(output.generated_ids, output.generated_log_probs)
                ended = "length" if finish == openvino_genai.GenerationFinishReason.LENGTH else "stop"
                return Output(output.generated_ids, output.generated_log_probs, ended)
        status = handle.get_status()
        if status == openvino_genai.GenerationStatus.IGNORED:
            raise InternalError("the KV cache has no room for this call: raise options.max_model_len or lower n")
        if status != openvino_genai.GenerationStatus.RUNNING:
            return Output(finish="stop")
        return None

    def cache_used(self) -> float:
        """Share of the KV cache that the last step's sequences held."""
        return self._loaded().get_metrics().cache_usage / 100

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """`text` in tokens. Where it already begins as the model wants, nothing is added."""
        tokenizer = self._loaded().get_tokenizer()
        begins = tokenizer.get_bos_token()
        add = special and not (begins and text.startswith(begins))

        def encode(part: str) -> list[int]:
            ids: list[int] = tokenizer.encode(part, add_special_tokens=False).input_ids.data[0].tolist()
            return ids

        try:
            tokens = in_parts(text, encode)
            return [*self._begin, *tokens] if add else tokens
        except RuntimeError as error:
            raise BadRequest(f"the text cannot be turned into tokens: {said(error)}") from error

    def prompt(
        self, messages: list[Json], tools: list[Json] | None, context: Json | None, *, add_generation_prompt: bool
    ) -> str:
        """`messages` as the model's chat template writes them. Raises BadRequest.

        To a template that knows no tools the library would add words of its own: it is not told of any.
        """
        tokenizer = self._loaded().get_tokenizer()
        if not self.template:
            raise BadRequest("this model has no chat template: use /v1/completions", param="messages")
        try:
            return tokenizer.apply_chat_template(
                messages,
                add_generation_prompt,
                tools=tools if self.supports_tools else None,
                extra_context=context,
            )
        except (RuntimeError, ValueError, TypeError) as error:
            message = f"the model's chat template refused the messages: {said(error)}"
            raise BadRequest(message, param="messages") from error

    def _read_tokenizer(self) -> None:
        pipeline = self._loaded()
        tokenizer = pipeline.get_tokenizer()
        pieces = plain(tokenizer.get_vocab())
        size = max(pieces, default=0) + 1
        bare, whole_text = (
            tokenizer.encode("a", add_special_tokens=special).input_ids.data[0].tolist() for special in (False, True)
        )
        self._begin = whole_text[: len(whole_text) - len(bare)]
        every = [[token] for token in range(size)]
        whole = tokenizer.decode(every, skip_special_tokens=False)
        shown = tokenizer.decode(every, skip_special_tokens=True)
        for token in range(size):
            pieces.setdefault(token, whole[token].encode())
        specials = [token for token in range(size) if whole[token] and not shown[token]]
        self.vocabulary = Vocabulary(pieces, specials, size)
        config = pipeline.get_config()
        named = {tokenizer.get_eos_token_id(), config.eos_token_id, *config.stop_token_ids}
        self.ends = frozenset({token for token in named if 0 <= token < size} | self.vocabulary.ends())
        if config.do_sample:
            self.sampler = Sampler(config.temperature, config.top_p, config.top_k, config.min_p)
        self.template = tokenizer.chat_template

    def _warm_up(self) -> None:
        """Both kinds of steps, so that nothing is compiled under a client."""
        token = next(iter(set(range(self.vocabulary.size)) - self.vocabulary.specials), 0)
        handle = self.submit([token] * min(WARM_UP_TOKENS, self._settings.context - 2), {"max_new_tokens": 2})
        while self.busy():
            self.step()
            self.read(handle)

    def _loaded(self) -> openvino_genai.ContinuousBatchingPipeline:
        if self._pipeline is None:
            raise InternalError("the model is not loaded")
        return self._pipeline


def properties(settings: OpenVinoSettings) -> Json:
    """OpenVINO's properties. Raises EngineError for one that has an option of its own."""
    for name in settings.extra_args:
        if name in OWN_PROPERTIES:
            raise EngineError(f"options.extra_args.{name} cannot be set: set {OWN_PROPERTIES[name]} instead")
    return {
        "INFERENCE_NUM_THREADS": settings.threads,
        "INFERENCE_PRECISION_HINT": settings.precision,
        "KV_CACHE_PRECISION": settings.kv_cache_dtype,
        # Pinned threads of several replicas would share a core while others are idle.
        "ENABLE_CPU_PINNING": False,
        # Kernels made for the shapes of steps: with its own bound, 5,000, the process grew by 120 MB more over a few
        # hundred prompts of many lengths, and was not faster.
        "CPU_RUNTIME_CACHE_CAPACITY": 64,
        "sampler_num_threads": settings.threads,
        **settings.extra_args,
    }


def check(path: Path) -> None:
    """Whether the files are whole: the library would die of some that are not. Raises EngineError."""
    try:
        found = facts(path)
        if found.format == "openvino":
            graph = Path(found.weights[0])
            for name in sorted(HELPERS):
                read_graph(graph.with_name(f"{name}.xml"))
    except ModelError as error:
        raise EngineError(error.message) from error


def said(error: Exception) -> str:
    """The library's reason without the places of its source that it went through."""
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return " ".join(reasons) or str(error).strip() or "it gives no reason"
