"""Bodies that work against the models a gateway serves, by the name of the surface."""

from collections.abc import Mapping
from typing import Any

from moorage.wire.names import Task

Json = dict[str, Any]
Models = Mapping[Task, str]
"""A model for each task there is one for."""

NO_MODEL = "MODEL"
"""Stands in a body for which nothing is served."""


def examples(surface: str, tasks: tuple[Task, ...], models: Models) -> dict[str, Json]:
    """Name → OpenAPI's example object."""
    model = next((models[task] for task in tasks if task in models), NO_MODEL)
    return {
        name: {"summary": summary, "value": {"model": model, **body}}
        for name, (summary, body) in _BODIES.get(surface, {}).items()
    }


_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}
_PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
_DOCUMENTS = ["A ship lies at anchor in the bay.", "Bread is made of flour.", "The moorage is full of boats."]


def _said(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


_HELLO = {"messages": _said("Say hello in one sentence."), "max_tokens": 32}

_BODIES: dict[str, dict[str, tuple[str, Json]]] = {
    "chat": {
        "answer": ("A whole reply", _HELLO),
        "stream": ("A stream", {**_HELLO, "stream": True, "stream_options": {"include_usage": True}}),
        "json": (
            "JSON of a schema",
            {
                "messages": _said("Invent a sailor."),
                "max_tokens": 64,
                "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": _PERSON}},
            },
        ),
        "tool": (
            "A tool that must be called",
            {
                "messages": _said("What is the weather in Hamburg?"),
                "max_tokens": 64,
                "tools": [_TOOL],
                "tool_choice": "required",
            },
        ),
    },
    "completions": {"continue": ("A whole reply", {"prompt": "The sea is", "max_tokens": 16})},
    "embeddings": {
        "texts": ("Two texts", {"input": _DOCUMENTS[:2]}),
        "base64": ("In base64", {"input": _DOCUMENTS[0], "encoding_format": "base64"}),
    },
    "embed": {
        "documents": (
            "Two documents",
            {"texts": _DOCUMENTS[:2], "input_type": "search_document", "embedding_types": ["float"]},
        )
    },
    "pooling": {"texts": ("A text", {"input": _DOCUMENTS[0]})},
    "classify": {"texts": ("A text", {"input": _DOCUMENTS[0]})},
    "rerank": {"best": ("The best two of three", {"query": "boats", "documents": _DOCUMENTS, "top_n": 2})},
    "score": {"pairs": ("One text against several", {"text_1": "boats", "text_2": _DOCUMENTS})},
    "tokenize": {"prompt": ("A text", {"prompt": _DOCUMENTS[0]})},
    "detokenize": {"tokens": ("Tokens", {"tokens": [100, 200, 300]})},
    "invocations": {"chat": ("A conversation", _HELLO)},
}
