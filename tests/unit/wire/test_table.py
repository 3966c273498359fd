import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.wire import table
from moorage.wire.control import Load

names = st.sampled_from(["a", "b", "c"])
models = st.dictionaries(names, st.integers(0, 3)).map(
    lambda rows: {id: table.ModelRow(id=id, names=(id,), task="generate", created=n) for id, n in rows.items()}
)
loads = st.dictionaries(names, st.integers(0, 3).map(lambda n: Load(running=float(n))))


@given(models, models, loads, loads)
def test_a_difference_applied_gives_the_new_table(
    models_a: dict[str, table.ModelRow],
    models_b: dict[str, table.ModelRow],
    loads_a: dict[str, Load],
    loads_b: dict[str, Load],
) -> None:
    old = table.Snapshot(epoch="e", seq=4, settings=table.Settings(), models=models_a, loads=loads_a)
    new = msgspec.structs.replace(old, models=models_b, loads=loads_b, settings=table.Settings(anonymous=True))
    change = table.decode(table.encode(table.difference(old, new)))
    assert isinstance(change, table.Change)
    assert table.apply(old, change) == msgspec.structs.replace(new, seq=5)


def test_a_missed_change_or_another_epoch_is_out_of_step() -> None:
    snapshot = table.Snapshot(epoch="e", seq=1, settings=table.Settings())
    for change in (table.Change(epoch="e", seq=3), table.Change(epoch="f", seq=2), table.Change(epoch="e", seq=1)):
        with pytest.raises(table.OutOfStep):
            table.apply(snapshot, change)


def test_unchanged_sections_are_shared_not_copied() -> None:
    snapshot = table.Snapshot(epoch="e", seq=1, settings=table.Settings(), models={})
    after = table.apply(snapshot, table.Change(epoch="e", seq=2, loads={"a": Load(running=1.0)}))
    assert after.models is snapshot.models
