"""A loaded model: its folder, tokenizer and session, and what a step of texts becomes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from moorage.errors import EngineError, InternalError, ModelError
from moorage.runtimes.encoding.graphs.folder import Folder
from moorage.runtimes.encoding.graphs.pooling import pooled
from moorage.runtimes.encoding.graphs.session import Session, Stop
from moorage.runtimes.encoding.graphs.vocabulary import Vocabulary
from moorage.runtimes.encoding.port import Item, Kind, Numbers, Profile
from moorage.wire.runtime import EncoderSettings

WARM_TOKENS = 256
WARM_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model whose files were read and whose graph is not loaded yet."""

    folder: Folder
    tokenizer: Vocabulary
    load: Callable[[int], Session]
    """Blocks until the graph is loaded. Given the token for padding; raises EngineError."""
    longest: int | None = None
    """How many tokens it has positions for, where that is known."""


Open = Callable[[EncoderSettings], Opened]
"""What a library does with a model's files. Raises EngineError, ModelError."""


class Model:
    """Construct (blocks until loaded) → step, on one thread at a time."""

    def __init__(self, settings: EncoderSettings, open: Open) -> None:
        """Raises EngineError."""
        self._settings = settings
        try:
            opened = open(settings)
        except ModelError as error:
            raise EngineError(error.message) from error
        self._folder = opened.folder
        if settings.pooling != "file":
            self._folder = replace(opened.folder, pools=(settings.pooling,), silent=False)
        self.tokenizer = opened.tokenizer
        self.session = opened.load(self._pad_token)
        self._check_vocabulary()
        self.profile = self._profile(settings, opened.longest)
        self.token_s = self._warm()
        """Seconds that a token takes."""

    @property
    def _vocabulary(self) -> int:
        return self._folder.described.vocabulary or self.tokenizer.size

    @property
    def _pad_token(self) -> int:
        """Any token will do where the files name none that there is: what stands there is masked."""
        named = self._folder.pad_token
        return named if named < self._vocabulary else 0

    def step(self, kind: Kind, items: Sequence[Item], stop: Stop) -> list[Numbers]:
        """One array an item. Raises InternalError, Stopped."""
        outputs = self.session.outputs
        match kind:
            case "embed":
                return list(self._vectors(items, stop))
            case "token_embed":
                assert outputs.states is not None
                found, _ = self.session.run(items, outputs.states, stop)
            case "classify" | "token_classify":
                assert outputs.logits is not None
                found, _ = self.session.run(items, outputs.logits, stop)
        if kind == "classify":
            return list(found)
        return [found[row, : len(item.ids)] for row, item in enumerate(items)]

    def _vectors(self, items: Sequence[Item], stop: Stop) -> Numbers:
        outputs = self.session.outputs
        if outputs.sentence is not None:
            return self.session.run(items, outputs.sentence, stop)[0]
        assert outputs.states is not None
        vectors = pooled(*self.session.run(items, outputs.states, stop), self._folder.pools)
        for module in self._folder.modules:
            vectors = module(vectors)
        return vectors

    def _check_vocabulary(self) -> None:
        """Raises EngineError where the files name more tokens than the graph has vectors for."""
        known = self.session.vocabulary
        if known is not None and known < self._vocabulary:
            raise EngineError(
                f"the model has vectors for {known} tokens and its files name {self._vocabulary}: they do not belong "
                "together, see vocab_size in config.json; get them again"
            )

    def _profile(self, settings: EncoderSettings, longest: int | None) -> Profile:
        found, task, outputs = self._folder, settings.task, self.session.outputs
        kinds: set[Kind] = set()
        if outputs.states:
            kinds.add("token_embed")
        if task == "embed" and (outputs.states or outputs.sentence):
            kinds.add("embed")
        if task != "embed" and outputs.logits:
            kinds.add("classify" if outputs.logits_rank == 2 else "token_classify")
        _check_task(settings, kinds)
        return Profile(
            task=task,
            kinds=frozenset(kinds),
            context=min(settings.context, longest or settings.context),
            vocabulary=self._vocabulary,
            specials=self.tokenizer.specials,
            pair_specials=self.tokenizer.pair_specials,
            shorter=found.shorter,
            normalized=found.normalized,
            prompts=found.prompts,
            default_prompt=found.default_prompt,
            labels=found.described.labels,
            label_activation=found.label_activation,
            score_activation=found.score_activation,
        )

    def _warm(self) -> float:
        """Seconds a token takes; the first run also tells how wide the vectors are. Raises EngineError."""
        profile = self.profile
        length = min(64, profile.context)
        last = max(0, profile.vocabulary - 1)
        items = [Item([*[min(1, last)] * (length - 1), last])] * max(1, WARM_TOKENS // length)
        kind = profile.first_kind
        rows: list[Numbers] = []
        taken: list[float] = []
        for _ in range(WARM_ROUNDS):
            before = time.monotonic()
            try:
                rows = self.step(kind, items, Stop())
            except InternalError as error:
                raise EngineError(
                    f"the model fails at a first text, whose last token is {last}: {error.message}; if that token is "
                    "out of bounds, its files do not belong together: see vocab_size in config.json"
                ) from error
            taken.append((time.monotonic() - before) / (length * len(items)))
        if not all(np.isfinite(row).all() for row in rows):
            raise EngineError("the model gives NaN in place of numbers: its weights are damaged; get its files again")
        self._measured(kind, rows[0].shape[-1])
        return min(taken)

    def _measured(self, kind: Kind, size: int) -> None:
        """How many numbers the model really gives. Raises EngineError."""
        profile = self.profile
        if kind == "embed":
            anything = range(1, size + 1) if self._settings.matryoshka else profile.shorter
            self.profile = replace(profile, width=size, shorter=[known for known in anything if known < size])
        elif profile.task == "rerank" and size != 1:
            raise EngineError(f"the model gives {size} scores a text, a reranker gives one: set its task to classify")
        elif profile.labels and size != len(profile.labels):
            raise EngineError(f"the model gives {size} scores and its config.json names {len(profile.labels)} labels")


def _check_task(settings: EncoderSettings, kinds: set[Kind]) -> None:
    task = settings.task
    if task == "embed" and "embed" not in kinds:
        raise EngineError("the model gives label scores and no hidden states: set its task to classify or rerank")
    if task == "rerank" and "classify" not in kinds:
        raise EngineError("the model gives no score of a text: set its task to embed, which reranks by cosine too")
    if task == "classify" and not kinds & {"classify", "token_classify"}:
        raise EngineError("the model gives no label scores: set its task to embed")
