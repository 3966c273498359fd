"""How CTranslate2 fails when our speech host runs it."""

from moorage.engines import embedded
from moorage.engines.libraries import LIBRARIES
from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="faster-whisper.no-tokenizer",
        pattern=r"('[^'\n]*') has no (tokenizer\.json)",
        cause="the folder {0} has no {1}, without which tokens are no text",
        fix="Put the tokenizer.json of the original model there, or take a folder that has it",
    ),
    Signature(
        name="faster-whisper.damaged",
        pattern=r"[Uu]nable to open file|is incomplete|is no tokenizer that can be read|invalid payload size|"
        r"Cannot load the vocabulary|parse_error|Failed to read|is corrupted",
        cause="a file of the model is missing, truncated or damaged",
        fix=embedded.AGAIN,
        source="https://github.com/SYSTRAN/faster-whisper/issues/945",
    ),
    Signature(
        name="faster-whisper.newer",
        pattern=r"[Uu]nsupported model binary version|binary version",
        cause="the model is of a version of CTranslate2's format that the installed one cannot read",
        fix="Convert it again with a current CTranslate2, or install a newer Moorage",
        source="https://github.com/SubtitleEdit/subtitleedit/issues/8471",
    ),
    Signature(
        name="faster-whisper.compute-type",
        pattern=r"[Rr]equested (\w+) compute type, but",
        cause="this machine cannot compute in {0}",
        fix="Leave options.extra_args.compute_type out, or set it to int8 or float32",
        source="https://github.com/SYSTRAN/faster-whisper/issues/14",
    ),
    Signature(
        name="faster-whisper.number-format",
        pattern=r"[Ii]nvalid compute type: (\w+)|compute type: (\w+)",
        cause="CTranslate2 knows no number format {0}{1}",
        fix="Set options.extra_args.compute_type to auto, int8, int8_float32, int16, bfloat16 or float32",
    ),
    Signature(
        name="faster-whisper.memory",
        pattern=r"bad_alloc|[Ff]ailed to allocate|MemoryError|[Cc]annot allocate memory",
        cause="there was not enough memory for the model",
        fix="Take a smaller model, or lower options.max_sequences",
        source="https://github.com/m-bain/whisperX/issues/1292",
    ),
    embedded.socket_taken("faster-whisper"),
    Signature(
        name="faster-whisper.not-installed",
        pattern=r"No module named '(faster_whisper|ctranslate2|av)'",
        cause="the libraries for speech are not installed ({0} is missing)",
        fix=f"Install them: {LIBRARIES['faster-whisper'].install}",
    ),
    Signature(
        name="faster-whisper.library",
        pattern=r"GLIBC_[0-9.]+' not found|libstdc\+\+",
        cause="the libraries for speech cannot be loaded",
        fix="Install Moorage again with its extra speech on a system that their wheels are made for",
    ),
)

OTHERWISE = (embedded.last_words("faster-whisper", "Correct what it names, or take another conversion of the model"),)
"""What is asked when nobody knows the failure."""
