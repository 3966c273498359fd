import click
import pytest

from moorage.cli.endpoint import endpoint, normal


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("https://example.org/llm/v1", "https://example.org/llm"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("unix:/run/moorage.sock", "unix:/run/moorage.sock"),
    ],
)
def test_addresses_as_people_write_them(written: str, meant: str) -> None:
    assert normal(written) == meant


@pytest.mark.parametrize("written", ["", "http://", "http://:80", "ftp://host", "http://host:99999", "http://[::1"])
def test_no_address(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is no address; write it like"):
        normal(written)


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "a\x00"])
def test_a_key_that_cannot_be_sent(key: str) -> None:
    with pytest.raises(click.BadParameter, match="cannot be sent"):
        endpoint("localhost", key)


def test_a_key_read_from_a_file_may_end_its_line() -> None:
    assert endpoint("localhost", "sk-1\n").api_key == "sk-1"
