import pytest

from moorage.access import keys


def test_digests_need_the_pepper() -> None:
    pepper, other = keys.new_pepper(), keys.new_pepper()
    key = keys.new_key()
    assert keys.digest(pepper, key) == keys.digest(pepper, key) != keys.digest(other, key)
    assert key not in keys.digest(pepper, key)
    assert len(key) > 40


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"authorization", b"Bearer  k ")], "k"),
        ([(b"authorization", b"bearer k")], "k"),
        ([(b"authorization", b"Basic k"), (b"x-api-key", b"x")], "x"),
        ([(b"api-key", b"a")], "a"),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"x-api-key", b"")], None),
        ([], None),
    ],
)
def test_where_a_key_is_looked_for(headers: list[tuple[bytes, bytes]], key: str | None) -> None:
    assert keys.presented(headers) == key


@pytest.mark.parametrize(
    ("header", "carried"),
    [
        (b"Bearer token", True),
        (b"bearer  token ", True),
        (b"Bearer tokens", False),
        (b"Bearer \xff", False),
        (b"", False),
    ],
)
def test_the_one_token_wanted(header: bytes, carried: bool) -> None:
    assert keys.carries([(b"authorization", header)], "token") is carried
    assert not keys.carries([], "token")
