"""Whatever a file holds: every key has a note, nothing crashes, and what is written says the same again."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.config.foreign import deploy, gateway, mistralrs_json, mistralrs_toml, unified, vllm_flags, vllm_sections
from moorage.config.foreign.formats import FORMATS, Format
from moorage.config.foreign.rules import Rule, Rules
from moorage.config.foreign.writing import as_yaml
from moorage.config.load import load
from moorage.errors import ConfigError
from tests.unit.config.foreign.test_samples import without_note


def names(rules: Rules) -> set[str]:
    """Every key of a table, of its sections too."""
    found = set(rules)
    for rule in rules.values():
        if not isinstance(rule, Rule):
            found |= names(rule)
    return found


KEYS: list[str] = sorted(
    {name for one in FORMATS for name in names(one.rules)}
    | {*vllm_sections.SECTIONS, *vllm_sections.FIELDS, *mistralrs_json.KINDS, *unified.TASKS, "a b", "x.y", "ä"}
    | {part for row in gateway.LATER for part in row if isinstance(part, str)}
    | {key for row in gateway.LATER.values() for key in row.keys if key}
)
Documents: TypeAlias = st.SearchStrategy[Any]
VALUES: Documents = st.sampled_from(
    [None, True, False, 0, 1, 8, 0.5, -1, "", "auto", "a/b", "/m", "8", "4GB", "0:2", "${V}", "int8"]
)
DOCUMENTS: Documents = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)
SECTIONS: Documents = st.dictionaries(st.sampled_from(KEYS), DOCUMENTS, max_size=5)


def named(names: Iterable[str], inner: Documents) -> Documents:
    return st.dictionaries(st.sampled_from(sorted(names)), inner)


def with_key(key: str, inner: Documents) -> Documents:
    """Sections that hold `key`, and perhaps others."""

    def joined(value: Any, more: dict[str, Any]) -> dict[str, Any]:
        return {**more, key: value}

    return st.builds(joined, inner, SECTIONS)


SHAPES: dict[str, Documents] = {
    unified.TITLE: with_key("models", named(["chat", "b"], SECTIONS) | st.just({"chat": {"path": "/m", "name": "a"}})),
    mistralrs_json.TITLE: named(
        ["one", "two"], named([*mistralrs_json.KINDS, *mistralrs_json.BESIDE], SECTIONS | VALUES)
    ),
    mistralrs_toml.TITLE: with_key("models", st.lists(SECTIONS, max_size=3)),
    deploy.TITLE: with_key("models", st.lists(SECTIONS, max_size=3)),
    vllm_sections.TITLE: with_key("engine", named([*vllm_sections.SECTIONS, *KEYS], SECTIONS | VALUES)),
    vllm_flags.TITLE: with_key("model", st.just("a/b")),
}


def shaped(one: Format) -> Documents:
    """Documents that look like the format on the outside."""
    return SHAPES.get(one.title, SECTIONS)


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.title)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_key_of_any_document_has_its_note(one: Format, data: st.DataObject) -> None:
    document = data.draw(shaped(one))
    found = one.convert(document)
    refused = [note for note in found.notes if note.kind == "refused"]
    if not refused:
        told = [note.key for note in found.notes if note.kind == "warned"]
        left = [key for key in without_note(document, found) if not any(key[: len(one)] == one for one in told)]
        assert left == []
    for note in found.notes:
        assert note.why or note.kind in ("honoured", "mapped")


@given(st.sampled_from(FORMATS).flatmap(shaped))
@settings(max_examples=120, deadline=None)
def test_any_document_is_refused_or_says_the_same_once_written(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "x.json"), Path(folder, "moorage.yaml")
        source.write_text(json.dumps(document), encoding="utf-8")
        environ = {"HOME": "/h", "V": "5"}
        try:
            first = load(source, environ=environ)
        except ConfigError:
            return
        assert first.converted is not None
        target.write_text(as_yaml(first.converted, first.said, "x.json", first.format.title), encoding="utf-8")
        assert load(target, environ=environ).config == first.config


@pytest.mark.parametrize("convert", [vllm_flags.convert, gateway.convert])
@pytest.mark.parametrize("document", [None, [], "text", 5, {}])
def test_what_is_no_section_at_all(convert: Any, document: Any) -> None:
    convert(document)
