"""Tools in a chat template that knows them, on llama.cpp."""

from collections.abc import Callable

import pytest

from tests.contract.generating.test_tools import SEARCH, WEATHER, called, check
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

TEMPLATE = """{%- if tools %}<|im_start|>system
Functions:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
For each call return a JSON object within <tool_call></tool_call>:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.content %}{{ m.content }}{% endif %}
{%- if m.tool_calls %}{% for c in m.tool_calls %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""A chat template that knows tools, in a widespread form; SmolLM2's own does not."""


def test_a_template_that_knows_tools(make_runtime: Callable[..., Runtime]) -> None:
    runtime = make_runtime(extra_args={"chat_template": TEMPLATE}).start().ready()
    messages = [{"role": "user", "content": "x"}]
    assert runtime.count(messages=messages, tools=[SEARCH]) > runtime.count(messages=messages) + 30
    for streamed in (False, True):
        check(called(runtime.chat("Find boats.", tools=[SEARCH], tool_choice="required", stream=streamed), streamed))
        # The model calls of its own accord when it has only to repeat the call, and is nudged towards its first token.
        call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "unit": "c"}}\n</tool_call>'
        nudge = {str(token): 3 for token in runtime.post("/tokenize", {"prompt": "<tool_call>"}).body["tokens"]}
        say = f"Repeat this text exactly:\n{call}"
        answer = runtime.chat(say, tools=[WEATHER], temperature=0, logit_bias=nudge, max_tokens=60, stream=streamed)
        found = called(answer, streamed)
        check(found)
        assert found[0]["name"] == "get_weather"
    wanted = {"type": "json_object"}
    assert runtime.chat("x", tools=[WEATHER], response_format=wanted).error["param"] == "response_format"
