"""How `transformers serve` fails to start. What any engine of its kind may say is in `shared_signatures`."""

from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="transformers.serving",
        pattern=r"Missing dependencies for serving|pip install ['\"]?transformers\[serving\]|requires the Accelerate",
        cause="this Transformers lacks what its server is made of",
        fix="Install it with its extra: moorage engine install transformers, or pip install 'transformers[serving]'",
    ),
    Signature(
        name="transformers.flag",
        pattern=r"No such option:? '?(-[\w-]+)",
        cause="this `transformers serve` has no flag {0}",
        fix="Correct options.extra_args of this model: transformers serve --help lists what it has",
    ),
    Signature(
        name="transformers.remote-code",
        pattern=r"[Pp]lease pass the argument `trust_remote_code=True`|contains custom code which must be executed|"
        r"set the option `trust_remote_code=True`",
        cause="the model's files bring Python code of their own, which is not run unless you say so",
        fix="Read that code, and if you trust its authors set options.trust_remote_code to true",
        source="https://github.com/OpenGVLab/InternVL/issues/1244",
    ),
)
