"""What a writer is sure of, as pieces of a reply: reasoning and calls of tools apart from the text."""

from moorage.runtimes.generating.markup import Markup, call_of
from moorage.runtimes.generating.pieces import Piece
from moorage.runtimes.openvino.writer import Written


def pieces(index: int, written: Written, finish: str | None, markup: Markup | None) -> list[Piece]:
    """Of the choice `index`; none where there is nothing to say yet."""
    if markup is None:
        piece = Piece(index, text=written.text, logprobs=written.logprobs, finish=finish)
        return [piece] if piece else []
    parts = markup.feed(written.text)
    if finish is not None:
        parts += markup.end()
    found: list[Piece] = []
    logprobs = written.logprobs
    for kind, text in parts:
        if kind == "reasoning":
            found.append(Piece(index, reasoning=text))
        elif kind == "call":
            found.append(Piece(index, tool_calls=({"index": markup.next_call(), "function": call_of(text)},)))
        else:
            found.append(Piece(index, text=text, logprobs=logprobs))
            logprobs = ()
    if logprobs:
        found.append(Piece(index, logprobs=logprobs))
    if finish is not None:
        found.append(Piece(index, finish=finish))
    return found
