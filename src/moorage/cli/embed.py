"""`moorage embed`: vectors of texts."""

import asyncio
import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from moorage.cli import endpoint as at
from moorage.cli.output import json_option
from moorage.cli.texts import FILE, batches
from moorage.core.text import harmless
from moorage.errors import MoorageError, UpstreamBroken

if TYPE_CHECKING:
    from moorage.http.client import Client

PATH = "/v1/embeddings"
PURPOSE_PATH = "/v2/embed"
"""Takes what the texts are for, and puts the model's own prompt for that before them."""

BATCH_TEXTS = 64
BATCH_BYTES = 512 * 1024
SHOWN = 4
"""Numbers of a vector that are shown to people."""


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@at.options
@at.model_option
@click.option("-f", "--file", "files", multiple=True, type=FILE, metavar="FILE", help="Texts, one a line; - is stdin.")
@click.option("--dimensions", type=click.IntRange(min=1), help="Shorter vectors, of models made for it.")
@click.option(
    "--input-type",
    type=click.Choice(["query", "document"]),
    help="What the texts are for: the model's own prompt for that is put before them, where it has one.",
)
@click.option("--prefix", default="", metavar="TEXT", help="Put this before every text, such as 'query: '.")
@json_option
def embed(
    texts: tuple[str, ...], url: str, api_key: str, model: str, files: tuple[str, ...], as_json: bool, **wishes: Any
) -> None:
    """Turn texts into vectors.

    TEXT is a text, or - for the lines of stdin, which are also read when nothing is named and something is piped in.
    Every text gives a line, as soon as its vector is there: its number, the vector's length and beginning, the text;
    with --json an object {index, text, embedding}. Any number of texts is sent in batches, in their order.
    """
    from moorage.http.client import Client

    where = at.endpoint(url, api_key)
    began = time.monotonic()
    with asyncio.Runner() as runner:
        client = Client()
        job = _Embedding(client, where, model, **wishes)
        try:
            with at.plainly(where):
                for batch in batches(texts, files, most=BATCH_TEXTS, most_bytes=BATCH_BYTES):
                    first = job.count
                    vectors = runner.run(job.embed(batch))
                    for index, (text, vector) in enumerate(zip(batch, vectors, strict=True), start=first):
                        click.echo(_as_json(index, text, vector) if as_json else _line(index, text, vector))
        except MoorageError as error:
            if not job.count:
                raise
            raise MoorageError(f"{error.message}; {_texts(job.count)} were done before") from error
        finally:
            runner.run(client.close())
    if not job.count:
        raise click.UsageError("there is no text; name some, a file by --file, or pipe lines in")
    if sys.stdout.isatty() and not as_json:
        tokens = f"{job.tokens} tokens, " if job.tokens else ""
        click.echo(f"{_texts(job.count)}, {tokens}{time.monotonic() - began:.2f} s, {job.model}", err=True)


@dataclass
class _Embedding:
    """One run of the command: which model, how far it is."""

    client: "Client"
    where: at.Endpoint
    model: str
    dimensions: int | None = None
    input_type: str | None = None
    prefix: str = ""
    count: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)

    async def embed(self, batch: list[str]) -> list[list[float]]:
        """Raises UpstreamUnreachable, Refused, UpstreamBroken."""
        if not self.model:
            self.model = await self.where.only_model(self.client, ("embed",))
        texts = [f"{self.prefix}{text}" for text in batch]
        vectors = await (self._plain(texts) if self.input_type is None else self._for_a_purpose(texts))
        if len(vectors) != len(batch) or not all(vectors):
            raise UpstreamBroken(f"the server sent {sum(map(bool, vectors))} vectors for {_texts(len(batch))}")
        self.count += len(batch)
        return vectors

    async def _plain(self, texts: list[str]) -> list[list[float]]:
        body: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        if self.dimensions:
            body["dimensions"] = self.dimensions
        reply = await self.where.post(self.client, PATH, body, _Vectors)
        self.tokens += reply.usage.prompt_tokens if reply.usage else 0
        rows = sorted(reply.data, key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(rows))):
            raise UpstreamBroken("the server numbers its vectors in another way than from 0 on")
        return [row.embedding for row in rows]

    async def _for_a_purpose(self, texts: list[str]) -> list[list[float]]:
        purpose = f"search_{self.input_type}"
        body: dict[str, Any] = {"model": self.model, "texts": texts, "input_type": purpose}
        body["embedding_types"] = ["float"]
        if self.dimensions:
            body["output_dimension"] = self.dimensions
        return (await self.where.post(self.client, PURPOSE_PATH, body, _VectorsByKind)).embeddings.floats


class _Row(Struct):
    index: int
    embedding: list[float]


class _Usage(Struct):
    prompt_tokens: int = 0


class _Vectors(Struct):
    """OpenAI's reply, as far as it is read."""

    data: list[_Row]
    usage: _Usage | None = None


class _Kinds(Struct, rename={"floats": "float"}):
    floats: list[list[float]]


class _VectorsByKind(Struct):
    """Cohere's."""

    embeddings: _Kinds


def _texts(count: int) -> str:
    return f"{count} text{'' if count == 1 else 's'}"


def _as_json(index: int, text: str, vector: list[float]) -> str:
    return json.dumps({"index": index, "text": text, "embedding": vector}, ensure_ascii=False)


def _line(index: int, text: str, vector: list[float]) -> str:
    """`   0   384   0.0342 -0.0711  0.0021  0.1045 …  The text`; on a terminal cut to its width."""
    numbers = " ".join(f"{number:7.4f}" for number in vector[:SHOWN])
    more = " …" if len(vector) > SHOWN else ""
    line = f"{index:>4}  {len(vector):>4}  {numbers}{more}  {harmless(text)}".replace("\n", " ")
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else f"{line[: width - 1]}…"
