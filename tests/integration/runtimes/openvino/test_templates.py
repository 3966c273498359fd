"""Tools in a chat template that knows them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.generating.test_tools import SEARCH, WEATHER, called, check
from tests.integration.runtimes.runtime import Runtime
from tests.integration.runtimes.test_tool_templates import TEMPLATE
from tests.openvino_text_ir import with_template

pytestmark = pytest.mark.engine


def test_a_template_that_knows_tools(make_runtime: Callable[..., Runtime], ir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ir, tmp_path / "model"))
    with_template(folder, TEMPLATE)
    runtime = make_runtime(folder).start().ready()
    messages = [{"role": "user", "content": "x"}]
    assert runtime.count(messages=messages, tools=[SEARCH]) > runtime.count(messages=messages) + 30
    for streamed in (False, True):
        check(called(runtime.chat("Find boats.", tools=[SEARCH], tool_choice="required", stream=streamed), streamed))
    wanted = {"type": "json_object"}
    assert runtime.chat("x", tools=[WEATHER], response_format=wanted).error["param"] == "response_format"


def test_a_template_that_refuses(make_runtime: Callable[..., Runtime], ir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ir, tmp_path / "model"))
    with_template(folder, "{{ raise_exception('only one message') if messages|length > 1 }}{{ messages[0].content }}")
    runtime = make_runtime(folder).start().ready()
    assert runtime.chat("x", max_tokens=1).status == 200
    two = [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]
    answer = runtime.post("/v1/chat/completions", {"messages": two, "max_tokens": 1})
    assert (answer.status, answer.error["param"]) == (400, "messages")
    assert "only one message" in answer.error["message"]


def test_without_a_template_there_is_no_chat(make_runtime: Callable[..., Runtime], ir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ir, tmp_path / "model"))
    with_template(folder, "")
    runtime = make_runtime(folder).start().ready()
    answer = runtime.chat("x", max_tokens=1)
    assert (answer.status, answer.error["param"]) == (400, "messages")
    assert "no chat template" in answer.error["message"]
    assert runtime.complete("Once", max_tokens=1).status == 200
