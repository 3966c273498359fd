"""Schemas as grammars of llguidance, which keeps all of JSON Schema that it accepts: patterns, formats, bounds.

The library has two ways. The one behind its chat route knows less and drops what it does not know (a pattern becomes
"any string"); llguidance is strict, but when it cannot compile a schema the library logs that and generates without
one. So a schema is tried before its first use.
"""

import hashlib
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from moorage.errors import BadRequest
from moorage.runtimes.llamacpp.caller import Caller, Work
from moorage.runtimes.llamacpp.listener import Listener

Json = dict[str, Any]

KNOWN_MAX = 256
EXACT_SPACES = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""llguidance's extension: without it a weak model may write spaces and line ends without end."""
NEVER_JSON = "Q"
"""No JSON text begins with it."""


@dataclass
class Grammars:
    caller: Caller
    listener: Listener
    _known: OrderedDict[bytes, bool] = field(default_factory=OrderedDict[bytes, bool])
    """By digest: a schema may be as large as a request."""
    _never: int | None = None

    async def of(self, schema: Json, param: str) -> str:
        """The grammar of `schema`. Raises BadRequest when there is none."""
        # Our own bounds are a kind of whole number that the encoder does not know.
        exact = msgspec.json.encode({**schema, "x-guidance": EXACT_SPACES}, enc_hook=int)
        text = "%llguidance {}\nstart: %json " + exact.decode()
        digest = hashlib.sha256(text.encode()).digest()
        works = self._known.get(digest)
        if works is None:
            works = self._known[digest] = await self._holds(text)
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        if not works:
            raise BadRequest(
                f"{param} cannot be turned into a grammar: it has an unknown type or format, a $ref that leads "
                "nowhere, a pattern with look-around, or bounds that nothing fits",
                param=param,
                code="invalid_schema",
            )
        return text

    async def _holds(self, grammar: str) -> bool:
        """Ask for one token, drawn with all force towards one that no JSON begins with: a grammar forbids it."""
        if self._never is None:
            self._never = (await self.listener.tokens(NEVER_JSON, special=False))[-1].id
        body = {
            "prompt": [self._never],
            "grammar": grammar,
            "max_tokens": 1,
            "temperature": 0,
            "logit_bias": {str(self._never): 100},
            "stream": True,
        }
        said = ""
        async with aclosing(self.caller.events(Work("completions", body))) as batches:
            async for batch in batches:
                said += "".join(choice["text"] for event in batch for choice in event["choices"])
        return not said.startswith(NEVER_JSON)
