import pytest

from moorage.runtimes.generating.markup import Markup, call_of

TEMPLATE = "{{ tools }} <tool_call> <think>"
CALL = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'


def read(text: str, *, size: int, tools: bool = True, prompt: str = "", template: str = TEMPLATE) -> dict[str, str]:
    """By kind all that was said, fed in pieces of `size` characters."""
    markup = Markup(template, prompt, tools=tools)
    parts = [part for place in range(0, len(text), size) for part in markup.feed(text[place : place + size])]
    found: dict[str, str] = {}
    for kind, said in [*parts, *markup.end()]:
        found[kind] = found.get(kind, "") + said
    return found


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello <b>you</b>", {"content": "Hello <b>you</b>"}),
        ("<think>\nHm.\n</think>\n\nYes.", {"reasoning": "Hm.", "content": "Yes."}),
        ("<think>\n\n</think>\n\nYes.", {"content": "Yes."}),
        ("<think>cut", {"reasoning": "cut"}),
        ("a < b <think", {"content": "a < b <think"}),
        (f"{CALL}", {"call": '{"name": "f", "arguments": {"x": 1}}'}),
        (f"I call.\n{CALL}", {"content": "I call.", "call": '{"name": "f", "arguments": {"x": 1}}'}),
        ("<tool_call>no call</tool_call>", {"content": "<tool_call>no call</tool_call>"}),
        ("one\n\ntwo\n", {"content": "one\n\ntwo"}),
        ("Yes. <think>no</think>", {"content": "Yes. <think>no</think>"}),
    ],
)
def test_what_a_text_is_made_of(text: str, said: dict[str, str], size: int) -> None:
    assert read(text, size=size) == said


@pytest.mark.parametrize("size", [1, 1000])
def test_reasoning_that_the_prompt_began(size: int) -> None:
    text = "Hm.\n</think>\n\nYes."
    assert read(text, size=size, prompt="…assistant\n<think>\n") == {"reasoning": "Hm.", "content": "Yes."}
    assert read("Yes.", size=size, prompt="…<think>\n\n</think>\n\n") == {"content": "Yes."}


@pytest.mark.parametrize("size", [1, 1000])
def test_text_is_text_where_the_template_knows_nothing_of_it(size: int) -> None:
    text = f"<think>x</think>{CALL}"
    assert read(text, size=size, template="plain") == {"content": text}
    assert read(CALL, size=size, tools=False) == {"content": CALL}


def test_calls_are_counted_and_read() -> None:
    markup = Markup(TEMPLATE, "", tools=True)
    assert [part.kind for part in markup.feed(f"{CALL}\n{CALL}")] == ["call", "call"]
    assert [markup.next_call(), markup.next_call()] == [0, 1]
    assert call_of('{"name": "f", "parameters": {"é": [1]}}') == {"name": "f", "arguments": '{"é":[1]}'}
    for text in ("", "[]", '{"name": 1}', '{"name": "f", "arguments": "x"}', "{"):
        assert call_of(text) is None
