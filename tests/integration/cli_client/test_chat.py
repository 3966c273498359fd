import json
import subprocess
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., str]
Piped = Callable[..., "subprocess.CompletedProcess[str]"]
TerminalOf = Callable[..., Any]


def state(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/_state") as reply:
        return json.load(reply)


def asked(url: str) -> list[dict[str, Any]]:
    return [json.loads(call["body"]) for call in state(url)["calls"] if call["path"] == "/v1/chat/completions"]


@pytest.mark.parametrize("how", [[], ["--no-stream"]])
def test_one_question_one_answer_on_stdout(engine_at: Start, piped: Piped, how: list[str]) -> None:
    url = engine_at("--model", "boat")
    options = ["--system", "be brief", "--max-tokens", "9", "--temperature", "0.5", "--seed", "7"]
    done = piped("chat", "--url", url, "-p", "Ahoy? [[say: Ahoy, ⚓!]]", *options, *how)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Ahoy, ⚓!\n", "")
    body = asked(url)[-1]
    assert body["model"] == "boat"
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (9, 0.5, 7)
    assert body.get("stream", False) is not bool(how)


def test_a_question_piped_in(engine_at: Start, piped: Piped) -> None:
    url = engine_at()
    done = piped("chat", "--url", url, stdin="line one\nline two [[say: yes]]\n")
    assert (done.returncode, done.stdout) == (0, "yes\n")
    assert asked(url)[-1]["messages"][-1]["content"].startswith("line one\nline two")


def test_the_reply_as_json(engine_at: Start, piped: Piped) -> None:
    done = piped("chat", "--url", engine_at(), "-p", "x [[say: y]]", "--json")
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "y"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("truncate after=2", "broke off its reply"),
        ("reset after=2", "broke off its reply"),
        ("undone after=2", "the stream ended before the answer was complete"),
        ("error after=2", "the server broke off: broken on demand"),
        ("json after=2", "the server sent what is no answer"),
    ],
)
def test_a_broken_stream_is_an_error_behind_what_came(engine_at: Start, piped: Piped, fault: str, words: str) -> None:
    done = piped("chat", "--url", engine_at(), "-p", f"[[fault: {fault}]]")
    assert done.returncode == 1
    assert done.stdout == "The anchor\n"
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_servers_own_words_for_an_error(engine_at: Start, piped: Piped) -> None:
    url = engine_at("--strict-model", "--token", "secret")
    done = piped("chat", "whale", "--url", url, "--api-key", "secret", "-p", "x")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "moorage: no model 'whale' here\n")
    done = piped("chat", "--url", url, "-p", "x")
    assert done.stderr == "moorage: the bearer token is wrong; give a key by --api-key or MOORAGE_API_KEY\n"


def test_nothing_listens(piped: Piped) -> None:
    done = piped("chat", "--url", "127.0.0.1:1", "-p", "x")
    assert done.returncode == 1
    assert "no Moorage at http://127.0.0.1:1; start one with `moorage serve`" in done.stderr


def test_an_empty_question(piped: Piped) -> None:
    done = piped("chat", stdin=" \n")
    assert done.returncode == 2
    assert "the prompt is empty" in done.stderr


def test_a_conversation(engine_at: Start, terminal: TerminalOf) -> None:
    url = engine_at("--model", "boat", "--tokens-per-s", "50")
    screen = terminal("chat", "--url", url, "--system", "be kind")
    screen.expect("boat at http://.*> ")
    screen.type("My name is Ann. [[say: Hello Ann.]]\n")
    screen.expect(r"Hello Ann\.\r\n2 tokens, [\d.]+ tokens/s, first after [\d.]+ s\r\n> ")
    screen.type("/model\n")
    screen.expect("talking to boat")
    screen.type("/model whale\n")
    screen.expect("no model 'whale' at .*there are: boat")
    screen.type("/models\n")
    screen.expect(r"\* boat")
    screen.type("/sink\n")
    screen.expect("no command /sink; /help lists them")
    screen.type("And me? [[say: Bob.]]\n")
    screen.expect(r"Bob\.\r\n1 tokens")
    texts = [message["content"] for message in asked(url)[-1]["messages"]]
    assert texts[0] == "be kind"
    assert texts[1].startswith("My name is Ann.")
    assert texts[2] == "Hello Ann."
    screen.type("/clear\n/system\n")
    screen.expect("no system prompt")
    screen.type("Who? [[say: Nobody.]]\n")
    screen.expect(r"Nobody\.\r\n")
    assert len(asked(url)[-1]["messages"]) == 1
    screen.type("/exit\n")
    assert screen.ends() == 0


def test_ctrl_c_stops_the_answer_and_then_the_program(engine_at: Start, terminal: TerminalOf) -> None:
    url = engine_at("--tokens-per-s", "20", "--reply-tokens", "2000")
    screen = terminal("chat", "--url", url)
    screen.expect("> ")
    screen.type("Tell me all.\n")
    screen.expect("anchor holds")
    screen.interrupt()
    screen.expect("stopped\r\n> ")
    assert state(url)["cancelled"] == 1
    screen.type("Again? [[say: Still here.]]\n")
    screen.expect(r"Still here\.\r\n")
    kept = asked(url)[-1]["messages"]
    assert [message["role"] for message in kept] == ["user", "assistant", "user"]
    assert kept[1]["content"].startswith("The anchor holds")
    screen.expect("> ")
    screen.interrupt()
    screen.expect("Ctrl-C again or Ctrl-D leaves.*> ")
    screen.interrupt()
    assert screen.ends() == 0


def test_ctrl_d_leaves(engine_at: Start, terminal: TerminalOf) -> None:
    screen = terminal("chat", "--url", engine_at())
    screen.expect("> ")
    screen.type("\x04")
    assert screen.ends() == 0


def test_the_conversation_goes_on_after_an_error(engine_at: Start, terminal: TerminalOf) -> None:
    url = engine_at()
    screen = terminal("chat", "--url", url)
    screen.expect("> ")
    screen.type("[[fault: reset after=2]]\n")
    screen.expect("broke off its reply")
    screen.expect("> ")
    screen.type("Well? [[say: Well.]]\n")
    screen.expect(r"Well\.\r\n")
    assert len(asked(url)[-1]["messages"]) == 1, "a broken answer is no part of the conversation"


def test_a_model_cannot_write_behind_the_text(engine_at: Start, terminal: TerminalOf) -> None:
    screen = terminal("chat", "--url", engine_at(), "-p", "[[say: red\x1b[2J\x07 fish]]")
    assert "red[2J fish" in screen.expect("fish")
