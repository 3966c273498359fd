"""`moorage rerank`: documents in the order in which they answer a query."""

from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from moorage.cli import endpoint as at
from moorage.cli.output import json_option, print_json, print_table
from moorage.cli.texts import FILE, batches
from moorage.errors import UpstreamBroken

if TYPE_CHECKING:
    from moorage.http.client import Client

PATH = "/v1/rerank"

BATCH_DOCUMENTS = 256
BATCH_BYTES = 1024 * 1024


@click.command()
@click.argument("query")
@click.argument("documents", nargs=-1, metavar="[DOCUMENT]...")
@at.options
@at.model_option
@click.option(
    "-f", "--file", "files", multiple=True, type=FILE, metavar="FILE", help="Documents, one a line; - is stdin."
)
@click.option("-n", "--top", type=click.IntRange(min=1), help="So many of the best.")
@json_option
def rerank(
    query: str,
    documents: tuple[str, ...],
    url: str,
    api_key: str,
    model: str,
    files: tuple[str, ...],
    top: int | None,
    as_json: bool,
) -> None:
    """Rank documents by how well they answer QUERY, the best first.

    DOCUMENT is a text, or - for the lines of stdin, which are also read when nothing is named and something is piped
    in. INDEX in the table is the document's place in the input, from 0. What scores mean is the model's affair: compare
    them within one query.
    """
    where = at.endpoint(url, api_key)
    if not query.strip():
        raise click.UsageError("the query is empty")
    groups = list(batches(documents, files, most=BATCH_DOCUMENTS, most_bytes=BATCH_BYTES))
    if not groups:
        raise click.UsageError("there is no document; name some, a file by --file, or pipe lines in")
    model, scores = at.run(_scores(where, model, query, groups), where)
    texts = [text for group in groups for text in group]
    ranked = sorted(range(len(texts)), key=lambda index: scores[index], reverse=True)[:top]
    if as_json:
        results = [{"index": index, "relevance_score": scores[index], "document": texts[index]} for index in ranked]
        print_json({"model": model, "query": query, "results": results})
        return
    rows = [(rank, f"{scores[index]:.4f}", index, texts[index]) for rank, index in enumerate(ranked, start=1)]
    print_table(("RANK", "SCORE", "INDEX", "DOCUMENT"), rows)


class _Result(Struct):
    index: int
    relevance_score: float


class _Ranking(Struct):
    results: list[_Result]


async def _scores(where: at.Endpoint, model: str, query: str, groups: list[list[str]]) -> tuple[str, list[float]]:
    """The model that was asked and a score for each document, in their order.

    A document's score does not depend on the others, so that any number can be ranked in batches.
    """
    from moorage.http.client import Client

    async with Client() as client:
        model = model or await where.only_model(client, ("rerank", "embed"))
        scores: list[float] = []
        for group in groups:
            scores += await _ask(client, where, {"model": model, "query": query, "documents": group})
    return model, scores


async def _ask(client: "Client", where: at.Endpoint, body: dict[str, Any]) -> list[float]:
    reply = await where.post(client, PATH, {**body, "return_documents": False}, _Ranking)
    scores = {row.index: row.relevance_score for row in reply.results}
    count = len(body["documents"])
    if sorted(scores) != list(range(count)):
        raise UpstreamBroken(f"the server ranked {len(scores)} of {count} documents")
    return [scores[index] for index in range(count)]
