"""`/classify` and `/pooling`: a model's outputs, of texts and of tokens."""

import secrets
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moorage.errors import BadRequest
from moorage.runtimes.encoding import inputs
from moorage.runtimes.encoding.embeddings import usage
from moorage.runtimes.encoding.numbers import activated, check_dimensions, finished, numbers, packed
from moorage.runtimes.encoding.port import Encoder, Item, Kind, Numbers, Profile
from moorage.wire.api.classify import Classification, ClassifyRequest, ClassifyResponse
from moorage.wire.api.pooling import Pooled, PoolingRequest, PoolingResponse

TOKEN_NUMBERS_MAX = 8 << 20
"""Numbers of all tokens in one reply: 170 MB of JSON, half a second in which the runtime answers nobody else. It has
room for one text of 8192 tokens in 1024 dimensions."""
WIDE = 1024
"""What a token's vector is taken to have where only the results tell."""


async def classify(request: ClassifyRequest, encoder: Encoder) -> ClassifyResponse:
    """Raises BadRequest."""
    profile = encoder.profile
    _check_kind("classify", profile)
    cut = inputs.cut_of(request, profile)
    texts = inputs.texts(request.input)
    items = await inputs.encoded(encoder, texts, inputs.places("input", request.input, len(texts)), cut)
    rows = await numbers(encoder, "classify", items)
    activation = "identity" if request.use_activation is False else profile.label_activation
    return ClassifyResponse(
        id=f"classify-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=request.model,
        data=[_classification(index, row, activated(row, activation), profile) for index, row in enumerate(rows)],
        usage=usage(items),
    )


async def pooling(request: PoolingRequest, encoder: Encoder) -> PoolingResponse:
    """Raises BadRequest."""
    profile = encoder.profile
    kind: Kind = request.task or profile.first_kind
    _check_kind(kind, profile)
    if kind == "embed":
        check_dimensions(request.dimensions, profile)
    elif request.dimensions is not None:
        raise BadRequest("dimensions: only embeddings of whole texts can be shortened", param="dimensions")
    cut = inputs.cut_of(request, profile)
    texts = inputs.texts(request.input)
    items = await inputs.encoded(encoder, texts, inputs.places("input", request.input, len(texts)), cut)
    if kind in ("token_embed", "token_classify"):
        _check_size(kind, items, profile)
    bare = request.use_activation is False
    data: list[Pooled] = []
    for index, result in enumerate(await numbers(encoder, kind, items)):
        shown = result[..., : request.dimensions] if bare else _activated(kind, result, request.dimensions, profile)
        data.append(Pooled(index=index, data=packed(shown) if request.encoding_format == "base64" else shown.tolist()))
    return PoolingResponse(
        id=f"pool-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=request.model,
        data=data,
        usage=usage(items),
    )


def _check_size(kind: Kind, items: Sequence[Item], profile: Profile) -> None:
    """Raises BadRequest for a reply of more numbers than can be sent; one text alone is always answered."""
    tokens = usage(items).total_tokens
    width = (profile.width or WIDE) if kind == "token_embed" else max(1, len(profile.labels))
    if len(items) > 1 and tokens * width > TOKEN_NUMBERS_MAX:
        raise BadRequest(
            f"input: {len(items)} texts of {tokens} tokens together, with {width} numbers each, are more than the "
            f"{TOKEN_NUMBERS_MAX} numbers of one reply; send fewer texts a call",
            param="input",
            code="reply_too_large",
        )


def _activated(kind: Kind, result: Numbers, dimensions: int | None, profile: Profile) -> NDArray[np.floating]:
    if kind in ("embed", "token_embed"):
        return finished(result, dimensions, profile)
    return activated(result, profile.score_activation if profile.task == "rerank" else profile.label_activation)


def _classification(index: int, row: Numbers, probs: NDArray[np.float64], profile: Profile) -> Classification:
    best = int(row.argmax())
    return Classification(
        index=index,
        label=profile.labels[best] if best < len(profile.labels) else None,
        probs=probs.tolist(),
        num_classes=len(probs),
    )


def _check_kind(kind: Kind, profile: Profile) -> None:
    if kind not in profile.kinds:
        able = ", ".join(sorted(profile.kinds))
        raise BadRequest(f"task: this model cannot {kind}; it can {able}", param="task", code="wrong_task")
