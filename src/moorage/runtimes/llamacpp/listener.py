"""The library's own HTTP listener on a private socket: what it has no function for is asked there, by us alone."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from moorage.errors import BadRequest, InternalError
from moorage.http.client import Client
from moorage.http.unix import SOCKET_PATH_BYTES
from moorage.runtimes.generating.port import ModelInfo, Token
from moorage.runtimes.llamacpp.library import Library, translated

Json = dict[str, Any]
TIMEOUT_S = 60.0


class Listener:
    """Construct → use → close."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._client = Client()

    async def close(self) -> None:
        await self._client.close()

    async def info(self, context: int) -> ModelInfo:
        """`context` is what was asked for; the library rounds it up."""
        props = await self._call("GET", "/props")
        models = await self._call("GET", "/v1/models")
        meta = models["data"][0]["meta"]
        return ModelInfo(
            context=min(context, int(props["default_generation_settings"]["n_ctx"])),
            parameters=int(meta["n_params"]),
            vocabulary=int(meta["n_vocab"]),
            embedding_length=int(meta["n_embd"]),
            supports_tools=bool(props.get("chat_template_caps", {}).get("supports_tools")),
        )

    async def tokens(self, text: str, *, special: bool) -> list[Token]:
        """`text` in tokens. `special` adds what the model wants at the beginning."""
        body = {"content": text, "add_special": special, "parse_special": True, "with_pieces": True}
        reply = await self._call("POST", "/tokenize", body)
        return [Token(entry["id"], _piece(entry["piece"])) for entry in reply["tokens"]]

    async def text(self, tokens: list[int]) -> str:
        reply = await self._call("POST", "/detokenize", {"tokens": tokens})
        return str(reply["content"])

    async def prompt(self, messages: list[Json], tools: list[Json] | None = None, **more: Any) -> str:
        """`messages` as the chat template writes them, open for the assistant's turn."""
        body: Json = {"messages": messages, **more}
        if tools:
            body["tools"] = tools
        reply = await self._call("POST", "/apply-template", body)
        return str(reply["prompt"])

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        data = msgspec.json.encode(body) if body is not None else None
        address = f"unix:{self._library.listener}"
        token = self._library.listener_token
        async with self._client.call(address, method, path, body=data, token=token, timeout_s=TIMEOUT_S) as reply:
            text = await reply.read()
        try:
            answer: Any = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise InternalError(f"llama.cpp answered {path} with {reply.status} and no JSON") from error
        if reply.status == 200:
            return answer
        if path == "/apply-template":
            message = answer.get("error", {}).get("message", text.decode(errors="replace"))
            raise BadRequest(f"the model's chat template refused the messages: {message}", param="messages")
        raise translated(answer.get("error", {}))


def _piece(piece: str | list[int]) -> str:
    """A token's text; the library writes bytes where a token is half a character."""
    return piece if isinstance(piece, str) else bytes(piece).decode(errors="replace")


def private_socket(public: str) -> Path:
    """A socket path beside the public one. The library takes a name for a socket only when it ends in .sock."""
    beside = Path(public + ".sock")
    if len(bytes(beside)) <= SOCKET_PATH_BYTES:
        return beside
    return Path(tempfile.mkdtemp(prefix="mo-")) / "l.sock"
