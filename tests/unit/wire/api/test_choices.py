from typing import Annotated, Literal

from msgspec import Meta, Struct

from moorage.wire.api.choices import choices


class Red(Struct, tag_field="kind", tag="red"):
    shade: Literal["dark", "light"]


class Blue(Struct, tag_field="kind", tag="blue"):
    shade: str


class Paint(Struct, rename={"words": "said"}):
    colour: Literal["none"] | Red | Blue | None = None
    words: list[Annotated[Literal["a", "b"], Meta(title="a letter")]] | None = None
    by_name: dict[str, Literal["x"]] = {}
    number: int = 0


def test_words_are_found_wherever_they_stand() -> None:
    assert choices(Paint, "colour") == ("none",)
    assert choices(Paint, "colour.kind") == ("red", "blue")
    assert choices(Paint, "colour.shade") == ("dark", "light")
    assert choices(Paint, "said[3]") == ("a", "b")
    assert choices(Paint, "by_name[...]") == ("x",)


def test_where_no_words_are_there_are_none() -> None:
    for place in ("number", "words", "said", "nothing", "number.deep[0]", ""):
        assert choices(Paint, place) == ()
