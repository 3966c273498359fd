"""`GET /v1/models`: every model the caller may use."""

from typing import Any

from moorage.gateway.table import Table
from moorage.wire.table import ModelRow


def listing(table: Table) -> dict[str, Any]:
    rows = sorted(table.snapshot.models.values(), key=lambda row: (row.created, row.id))
    return {"object": "list", "data": [model(row) for row in rows]}


def model(row: ModelRow, name: str | None = None) -> dict[str, Any]:
    """OpenAI's model object, with what clients of vLLM and Moorage look for besides."""
    return {
        "id": name or row.id,
        "object": "model",
        "created": row.created,
        "owned_by": row.owned_by,
        "max_model_len": row.max_model_len,
        "task": row.task,
        "aliases": [other for other in row.names if other != (name or row.id)],
    }
