"""``trtllm-build sign WHEEL``: the signature of an offline key over what a build said of its wheel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def sign(
    wheels: Annotated[
        list[Path], typer.Argument(help="Wheels with their WHEEL.intoto.json beside them.", metavar="WHEEL...")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="An Ed25519 private key: of openssl genpkey or ssh-keygen. Else TRTLLM_BUILD_SIGNING_KEY holds the "
            "key or its file's path; TRTLLM_BUILD_KEY_PASSPHRASE its passphrase.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Sign the provenance beside each wheel: WHEEL.intoto.jsonl. `verify --public-key` checks it."""
    import os

    from trtllm_builder.attest.keys import read_private_key
    from trtllm_builder.repro.signing import KEY_VARIABLE, key_from_variable, sign_wheel
    from trtllm_builder.verify.audit import require_file

    for wheel in wheels:
        require_file(wheel)
    private = read_private_key(key.expanduser(), os.environ) if key else key_from_variable(KEY_VARIABLE, os.environ)
    signed = []
    for wheel in wheels:
        done = sign_wheel(wheel, private)
        signed.append({"wheel": str(wheel), "bundle": str(done.bundle), "keyids": list(done.keyids)})
        if not as_json:
            others = len(done.keyids) - 1
            also = f", and with {others} other key{'s' * (others > 1)}" if others else ""
            typer.echo(f"{done.bundle}\n  signed with {done.keyid}{also}")
    if as_json:
        typer.echo(json.dumps({"schema": 1, "keyid": private.public.keyid, "signed": signed}, indent=2))
