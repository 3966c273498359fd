"""`/rerank` and `/score`: how well texts match, by a cross-encoder or by the cosine of two embeddings."""

import secrets
import time
from dataclasses import dataclass, replace

import numpy as np

from moorage.errors import BadRequest
from moorage.runtimes.encoding import inputs
from moorage.runtimes.encoding.embeddings import usage
from moorage.runtimes.encoding.numbers import activated, numbers, unit
from moorage.runtimes.encoding.port import Cut, Encoder, Item, Pair
from moorage.wire.api.rerank import Document, RerankRequest, RerankResponse, RerankResult
from moorage.wire.api.score import Score, ScoreRequest, ScoreResponse
from moorage.wire.api.truncation import Truncation
from moorage.wire.api.usage import ApiVersion, BilledUnits, ReplyMeta

SPELLINGS = (("text_1", "text_2"), ("queries", "documents"), ("data_1", "data_2"))

PAIR_CHARS_MAX = 1 << 26
"""Of all pairs of a call: a cross-encoder reads the query anew with each document, which makes much of little."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Texts to be held against each other: queries[i] against documents[i], or one query against all."""

    queries: list[str]
    documents: list[str]
    query_places: list[str]
    document_places: list[str]
    cut: Cut | None
    per_document: int | None = None
    """Tokens after which a document is cut, whatever is done with a query."""
    how: str = inputs.HOW_TO_CUT


async def rerank(request: RerankRequest, encoder: Encoder, *, version: str, with_documents: bool) -> RerankResponse:
    """`with_documents` counts where the call does not say. Raises BadRequest."""
    documents = [entry if isinstance(entry, str) else entry.text for entry in request.documents]
    matches = Matches(
        queries=[request.query],
        documents=documents,
        query_places=["query"],
        document_places=[f"documents[{index}]" for index in range(len(documents))],
        cut=_cut_of(request, encoder),
        per_document=request.max_tokens_per_doc,
        how="shorten it, or have it cut with max_tokens_per_doc",
    )
    scores, items = await _scores(matches, encoder)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
    shown = with_documents if request.return_documents is None else request.return_documents
    return RerankResponse(
        id=f"rerank-{secrets.token_hex(12)}",
        model=request.model,
        results=[
            RerankResult(
                index=index,
                relevance_score=scores[index],
                document=Document(text=documents[index]) if shown else None,
            )
            for index in order
        ],
        usage=usage(items),
        meta=ReplyMeta(api_version=ApiVersion(version=version), billed_units=BilledUnits(search_units=1)),
    )


async def score(request: ScoreRequest, encoder: Encoder) -> ScoreResponse:
    """Raises BadRequest."""
    first, second = _spelling(request)
    given = getattr(request, first), getattr(request, second)
    queries, documents = ([side] if isinstance(side, str) else list(side) for side in given)
    if len(queries) != 1 and len(queries) != len(documents):
        raise BadRequest(
            f"{first} has {len(queries)} texts and {second} {len(documents)}: give one against many, or as many on "
            "both sides",
            param=first,
        )
    matches = Matches(
        queries=queries,
        documents=documents,
        query_places=inputs.places(first, given[0], len(queries)),
        document_places=inputs.places(second, given[1], len(documents)),
        cut=_cut_of(request, encoder),
    )
    scores, items = await _scores(matches, encoder, bare=request.use_activation is False)
    return ScoreResponse(
        id=f"score-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=request.model,
        data=[Score(index=index, score=value) for index, value in enumerate(scores)],
        usage=usage(items),
    )


def _cut_of(request: Truncation, encoder: Encoder) -> Cut | None:
    return inputs.cut_of(request, encoder.profile, pairs=encoder.profile.task == "rerank")


def _spelling(request: ScoreRequest) -> tuple[str, str]:
    """The names of the two fields the call used."""
    used = [pair for pair in SPELLINGS if any(getattr(request, name) is not None for name in pair)]
    if len(used) != 1:
        raise BadRequest(
            "give one pair: text_1 and text_2, queries and documents, or data_1 and data_2", param="text_1"
        )
    for name in used[0]:
        if getattr(request, name) is None:
            raise BadRequest(f"{name} is required", param=name, code="missing_required_parameter")
    return used[0]


async def _scores(matches: Matches, encoder: Encoder, *, bare: bool = False) -> tuple[list[float], list[Item]]:
    if encoder.profile.task == "rerank":
        return await _crossed(matches, encoder, bare=bare)
    return await _cosines(matches, encoder)


async def _crossed(matches: Matches, encoder: Encoder, *, bare: bool) -> tuple[list[float], list[Item]]:
    profile, cut = encoder.profile, matches.cut
    if cut is None:
        # So that a query too long for any document is named itself.
        await inputs.encoded(encoder, matches.queries, matches.query_places, None, how="shorten it")
    if matches.per_document is not None:
        cut = replace(cut or Cut(profile.context), second=matches.per_document)
    queries = matches.queries * (len(matches.documents) if len(matches.queries) == 1 else 1)
    pairs = [Pair(query, document) for query, document in zip(queries, matches.documents, strict=True)]
    chars = sum(len(pair.first) + len(pair.second) for pair in pairs)
    if chars > PAIR_CHARS_MAX:
        place = matches.query_places[0]
        raise BadRequest(
            f"{place}: with each of {len(pairs)} documents that is {chars} characters, at most {PAIR_CHARS_MAX} are "
            "read in one call; shorten it, or give fewer documents",
            param=place,
        )
    items = await inputs.encoded(encoder, pairs, matches.document_places, cut, how=matches.how)
    rows = np.stack(await numbers(encoder, "classify", items))
    return activated(rows, "identity" if bare else profile.score_activation)[:, 0].tolist(), items


async def _cosines(matches: Matches, encoder: Encoder) -> tuple[list[float], list[Item]]:
    profile, cut = encoder.profile, matches.cut
    queries = inputs.prompted(matches.queries, inputs.prompt_of(profile, *inputs.QUERY))
    documents = inputs.prompted(matches.documents, inputs.prompt_of(profile, *inputs.DOCUMENT))
    items = await inputs.encoded(encoder, queries, matches.query_places, cut)
    if matches.per_document is not None:
        most = cut.tokens if cut else profile.context
        cut = Cut(min(most, matches.per_document + profile.specials))
    items += await inputs.encoded(encoder, documents, matches.document_places, cut, how=matches.how)
    both = unit(np.stack(await numbers(encoder, "embed", items))).astype(np.float64)
    first, second = both[: len(queries)], both[len(queries) :]
    return np.clip((first * second).sum(axis=1), -1, 1).tolist(), items
