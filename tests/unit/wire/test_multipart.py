import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moorage.errors import BadRequest, MoorageError, TooLarge, UnsupportedType
from moorage.wire.multipart import FIELD_BYTES_MAX, PARTS_MAX, FormReader, boundary_of

TYPE = "multipart/form-data; boundary=XX"
DISPOSITION = b'Content-Disposition: form-data; name="%b"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
MODEL = DISPOSITION % b"model" + b"\r\n\r\nwhisper"


def form(*parts: bytes, end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(b"--XX\r\n" + part + b"\r\n" for part in parts) + end


def read(body: bytes, pieces: int = 1 << 20, content_type: str = TYPE) -> FormReader:
    reader = FormReader([content_type], keep=("model", "stream"))
    for begin in range(0, len(body), pieces):
        reader.feed(body[begin : begin + pieces])
    reader.finish()
    return reader


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("model", [b"whisper", b"\r\n--X", b"\r\n--Xy\r\n-", b"-", "世界".encode()])
@pytest.mark.parametrize("first", [True, False])
def test_fields_are_found_where_they_lie_however_the_body_is_cut(pieces: int, model: bytes, first: bool) -> None:
    part = DISPOSITION % b"model" + b"\r\n\r\n" + model
    body = form(part, FILE) if first else b"\r\n" + form(FILE, part)
    [field] = read(body, pieces).fields
    assert field.name == "model"
    assert field.value == body[field.begin : field.end] == model


@given(
    st.binary(max_size=300),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
    st.sampled_from([b"m", b"org/model", b"\r\n--XX \xc3\xa9"]),
)
def test_whatever_the_recording_holds(content: bytes, cuts: list[int], model: bytes) -> None:
    """Nothing in it is taken for a field, and the model is found behind it."""
    content = content.replace(b"--XX", b"--YY")
    recording = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content
    model = model.replace(b"--XX", b"")
    body = form(recording, DISPOSITION % b"model" + b"\r\n\r\n" + model)
    reader, at, turn = FormReader([TYPE], keep=("model", "stream")), 0, 0
    while at < len(body):
        step = cuts[turn % len(cuts)]
        reader.feed(body[at : at + step])
        at, turn = at + step, turn + 1
    reader.finish()
    assert [body[field.begin : field.end] for field in reader.fields] == [model]
    assert reader.names == {"file", "model"}


@settings(max_examples=400)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(1, 50))
@example(b"\r\n--XX--", 0, 1)
@example(b"\x00", 40, 3)
def test_no_bytes_bring_it_down(noise: bytes, at: int, pieces: int) -> None:
    """Noise anywhere in a form: it is read, or refused in our words."""
    good = form(MODEL, FILE, DISPOSITION % b"prompt" + b"\r\n\r\nahoy")
    body = good[:at] + noise + good[at:]
    reader, problem = FormReader([TYPE], keep=("model", "stream")), None
    try:
        for begin in range(0, len(body), pieces):
            reader.feed(body[begin : begin + pieces])
        reader.finish()
    except MoorageError as error:
        problem = error
    if problem is not None:
        assert 400 <= problem.status < 500
        assert problem.message
        return
    for field in reader.fields:
        assert body[field.begin : field.end] == field.value


@settings(max_examples=300)
@given(st.text(max_size=80))
@example('multipart/form-data; boundary="a')
@example("multipart/form-data; boundary=a; boundary=b")
@example("multipart/form-data; BOUNDARY=a; charset=utf-16")
def test_no_content_type_brings_it_down(said: str) -> None:
    for text in (said, f"multipart/form-data; {said}", f"multipart/form-data; boundary={said}"):
        answer: str | int = ""
        try:
            answer = boundary_of([text])
        except MoorageError as error:
            answer = error.status
        assert answer in (400, 415) or (isinstance(answer, str) and answer)


@pytest.mark.parametrize(
    ("content_types", "kind"),
    [
        ([], UnsupportedType),
        (["application/json"], UnsupportedType),
        (["multipart/mixed; boundary=XX"], UnsupportedType),
        (["multipart/form-data; boundary=XX; charset=utf-16"], UnsupportedType),
        (["multipart/form-data"], BadRequest),
        (["multipart/form-data; boundary="], BadRequest),
        (["multipart/form-data; boundary=" + "x" * 300], BadRequest),
        (["multipart/form-data; boundary=a\tb"], BadRequest),
        (["multipart/form-data; boundary=a; boundary=b"], BadRequest),
        ([TYPE, TYPE], BadRequest),
    ],
)
def test_what_is_no_form_is_told_so(content_types: list[str], kind: type[MoorageError]) -> None:
    with pytest.raises(kind):
        FormReader(content_types)


@pytest.mark.parametrize(
    "said", ['multipart/form-data; boundary="X X"', "Multipart/Form-Data;boundary=XX;charset=UTF-8"]
)
def test_usual_content_types(said: str) -> None:
    assert boundary_of([said]) in ("X X", "XX")


PART = b'Content-Disposition: form-data; name="%b"; filename="%b"\r\n\r\nx'


def with_header(header: bytes) -> bytes:
    return FILE.replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n")


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"hello", "malformed"),
    "another boundary": (form(FILE).replace(b"XX", b"YY"), "malformed"),
    "a preamble": (b"preamble\r\n" + form(FILE), "malformed"),
    "cut in the file": (form(FILE)[:-12], "cut"),
    "cut before its end": (form(FILE, end=b"--XX"), "cut"),
    "no part": (b"--XX--\r\n", "'file' is missing"),
    "no file": (form(MODEL), "'file' is missing"),
    "two files": (form(FILE, FILE), "'file' comes twice"),
    "a second file": (form(FILE, PART % (b"other", b"b.wav")), "only 'file' may be one"),
    "two models": (form(MODEL, FILE, MODEL), "'model' comes twice"),
    "two streams": (form(FILE, *[DISPOSITION % b"stream" + b"\r\n\r\ntrue"] * 2), "'stream' comes twice"),
    "a file as text": (form(DISPOSITION % b"file" + b"\r\n\r\nRIFF"), "has no filename"),
    "a model as file": (form(FILE, PART % (b"model", b"m")), "only 'file' may be one"),
    "no name": (form(b"Content-Disposition: form-data\r\n\r\nx"), "no 'Content-Disposition"),
    "no disposition": (form(b"X-A: b\r\n\r\nx"), "no 'Content-Disposition"),
    "no headers": (form(b"\r\nx"), "no 'Content-Disposition"),
    "an attachment": (form(FILE.replace(b"form-data", b"attachment")), "no 'Content-Disposition"),
    "two dispositions": (form(DISPOSITION % b"a" + b"\r\n" + MODEL, FILE), "two headers content-disposition"),
    "two names": (form(b"Content-Disposition: form-data; name=a; name=b\r\n\r\nx"), "says 'name' twice"),
    "an open quote": (form(b'Content-Disposition: form-data; name="a\r\n\r\nx'), "cannot be read from"),
    "a name that is no UTF-8": (form(DISPOSITION % b"\xff" + b"\r\n\r\nx"), "not UTF-8"),
    "NUL in a filename": (form(PART % (b"file", b"a\x00.wav")), "control character"),
    "a line end in a filename": (form(PART % (b"file", b"a\n.wav")), "control character"),
    "a way out": (form(PART % (b"file", b"../../etc/passwd")), "leads out of its folder"),
    "another way out": (form(PART % (b"file", b"..\\\\a.wav")), "leads out of its folder"),
    "base64": (form(with_header(b"Content-Transfer-Encoding: base64")), "is sent in 'base64'"),
    "nested": (form(with_header(b"Content-Type: multipart/mixed; boundary=q")), "of its own"),
    "a bare LF": (form(FILE).replace(b"\r\n", b"\n"), "malformed"),
    "a header without colon": (form(b"X-A\r\n\r\nx"), "malformed"),
    "a huge header": (form(b"X-A: " + b"b" * 100_000 + b"\r\n\r\nx"), "malformed"),
    "many headers": (form(b"".join(b"X-%d: b\r\n" % n for n in range(1000)) + b"\r\nx"), "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("pieces", [1, 64, 1 << 20])
@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_bad_forms(body: bytes, words: str, pieces: int) -> None:
    with pytest.raises(BadRequest) as refused:
        read(body, pieces)
    assert words in refused.value.message
    assert refused.value.status == 400


def test_a_charset_other_than_utf8() -> None:
    part = DISPOSITION % b"model" + b"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n" + "m".encode("utf-16")
    with pytest.raises(UnsupportedType, match="'model' is sent in 'utf-16'"):
        read(form(part, FILE))


def test_bombs() -> None:
    with pytest.raises(TooLarge, match="more than 1200 parts"):
        read(form(*[DISPOSITION % b"keywords[]" + b"\r\n\r\na"] * (PARTS_MAX + 1)))
    with pytest.raises(TooLarge, match="'prompt' is larger"):
        read(form(DISPOSITION % b"prompt" + b"\r\n\r\n" + b"x" * (FIELD_BYTES_MAX + 1), FILE), 65536)
    with pytest.raises(TooLarge, match="together"):
        read(form(*[DISPOSITION % b"keywords[]" + b"\r\n\r\n" + b"x" * FIELD_BYTES_MAX] * 5, FILE), 65536)


@pytest.mark.parametrize("pieces", [1, 5, 1 << 20])
def test_all_fields_and_the_file(pieces: int) -> None:
    """Without `keep` every field is there, those of lists as often as they came, and the file's bytes in one run."""
    word = DISPOSITION % b"keywords[]" + b"\r\n\r\n"
    recording = b"RIFF\r\n--X\r\n" * 3
    body = form(word + b"one", FILE.replace(b"RIFF", recording), word + b"two", MODEL, word)
    held = bytearray()
    reader = FormReader([TYPE], on_file=held.extend)
    for begin in range(0, len(body), pieces):
        reader.feed(body[begin : begin + pieces])
    reader.finish()
    assert bytes(held) == recording
    assert [(field.name, field.value) for field in reader.fields] == [
        ("keywords[]", b"one"),
        ("keywords[]", b"two"),
        ("model", b"whisper"),
        ("keywords[]", b""),
    ]


def test_what_clients_of_many_kinds_send() -> None:
    """Escaped and raw names, the extended name, a charset, list fields given again, an epilogue."""
    parts = (
        b'Content-Disposition: form-data; name="file"; filename="a\\"b %22 \xe4\xb8\x96.wav"; '
        b"filename*=utf-8''a.wav\r\nContent-Type: audio/wav\r\nContent-Length: 4\r\n\r\nRIFF",
        b"content-disposition: form-data; name=model\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nwhisper",
        DISPOSITION % b"timestamp_granularities[]" + b"\r\n\r\nword",
        DISPOSITION % b"timestamp_granularities[]" + b"\r\n\r\nsegment",
    )
    reader = read(form(*parts) + b"epilogue")
    assert [(field.name, field.value) for field in reader.fields] == [("model", b"whisper")]
    assert reader.names == {"file", "model", "timestamp_granularities[]"}
