"""`GET /v1/models`: every model the caller may use."""

from msgspec import UNSET

from moorage.gateway.table import Table
from moorage.wire.api.models import Model, ModelList
from moorage.wire.table import ModelRow


def listing(table: Table) -> ModelList:
    rows = sorted(table.snapshot.models.values(), key=lambda row: (row.created, row.id))
    return ModelList(data=tuple(model(row) for row in rows))


def model(row: ModelRow, name: str | None = None) -> Model:
    """The model as `name`, the one it was asked for by."""
    name = name or row.id
    return Model(
        id=name,
        created=row.created,
        owned_by=row.owned_by,
        max_model_len=row.max_model_len,
        task=row.task,
        aliases=tuple(other for other in row.names if other != name),
        parent=row.parent or UNSET,
    )
