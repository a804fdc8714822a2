"""Checks of what stands beside a wheel about its making: the provenance, and who signed it.

Sources: in-toto's Statement v1 and bundle (``FILE.intoto.jsonl``), SLSA's provenance v1, DSSE: see attest/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from trtllm_builder.attest.agreement import beside, contradictions
from trtllm_builder.attest.envelope import Envelope, read_bundle
from trtllm_builder.attest.keys import PublicKey
from trtllm_builder.attest.statement import LIMIT, Statement, StatementError, read_statement
from trtllm_builder.verify.checks import Check, few, judged, skipped

_PROVENANCE = "the provenance beside it is of this wheel, and says what record, lock and signed copy say"
_SIGNATURE = "its provenance is signed with a key that was given"
_CHANGED = "It was made for another file, or one of the two was changed: fetch both again from where they came."


def provenance_checks(wheel: Path, sha256: str, trusted: Sequence[PublicKey]) -> tuple[Check, ...]:
    """provenance and signature: ``WHEEL.intoto.json`` and ``WHEEL.intoto.jsonl``, where there are such, held against
    each other and against record and lock."""
    plain, bundle = _places(wheel)
    others = list(contradictions(beside(wheel), sha256))
    if plain.is_file():
        provenance = _provenance(plain, sha256, others)
    elif bundle.is_file():
        provenance = _provenance(bundle, sha256, others)
    else:
        provenance = skipped("provenance", _PROVENANCE, f"there is no {plain.name} beside it", severity="info")
    return provenance, _signature(plain, bundle, sha256, trusted)


def said_of(wheel: Path, sha256: str) -> Iterator[tuple[Path, Statement]]:
    """What the files beside it say of this very wheel, whoever said it."""
    plain, bundle = _places(wheel)
    with suppress(OSError, StatementError):
        said = read_statement(_read(plain))
        if said.is_of(sha256):
            yield plain, said
    with suppress(OSError, StatementError):
        yield from ((bundle, said) for _, said in _signed(_read(bundle)) if said.is_of(sha256))


def _places(wheel: Path) -> tuple[Path, Path]:
    return wheel.with_name(f"{wheel.name}.intoto.json"), wheel.with_name(f"{wheel.name}.intoto.jsonl")


def _provenance(path: Path, sha256: str, others: list[str]) -> Check:
    problems = []
    found: list[Statement] = []
    try:
        data = _read(path)
        found = [said for _, said in _signed(data)] if path.suffix == ".jsonl" else [read_statement(data)]
        own = [one for one in found if one.is_of(sha256)]
        problems += [f"{path.name}: {fault}" for one in own for fault in one.faults]
        if not own:
            subjects = [f"{one.name or '?'} {one.digest.get('sha256', '?')}" for each in found for one in each.subjects]
            problems.append(f"{path.name} is of {few(subjects, 2)}; the wheel has sha256 {sha256}")
    except (OSError, StatementError) as error:
        problems.append(f"{path.name} is no in-toto statement: {error}")
    problems += others
    return judged(
        "provenance",
        _PROVENANCE,
        problems,
        seen=f"{path.name}: {few(sorted({one.predicate_type for one in found}))}",
        remedy=_CHANGED,
    )


def _signature(plain: Path, bundle: Path, sha256: str, trusted: Sequence[PublicKey]) -> Check:
    if not bundle.is_file():
        missing = f"there is no {bundle.name} beside it"
        if not trusted:
            return skipped("signature", _SIGNATURE, missing, severity="info")
        remedy = "Nobody signed it, or the bundle was taken away: fetch it from where the wheel came."
        return judged("signature", _SIGNATURE, [f"it is not signed: {missing}"], remedy=remedy)
    try:
        own = [envelope for envelope, said in _signed(_read(bundle)) if said.is_of(sha256)]
    except (OSError, StatementError) as error:
        return judged("signature", _SIGNATURE, [f"{bundle.name} cannot be read: {error}"], remedy=_CHANGED)
    if not own:
        what = f"{bundle.name} is signed for other bytes; the wheel has sha256 {sha256}"
        return judged("signature", _SIGNATURE, [what], remedy=_CHANGED)
    named = few(sorted({f"{one.keyid[:16] or '?'}" for each in own for one in each.signatures}))
    if not trusted:
        why = f"{bundle.name} says it is signed with {named}: give the key with --public-key to know"
        return skipped("signature", _SIGNATURE, why, severity="info")
    signed = [(one, key) for one in own if (key := one.signer(trusted))]
    if not signed:
        what = f"none of the keys that were given made a signature in {bundle.name}; it names {named}"
        return judged("signature", _SIGNATURE, [what], remedy="Do not trust it, or give the public key of its maker.")
    problem = _other_statement(plain, [one for one, _ in signed])
    keys = sorted({key.keyid for _, key in signed})
    return judged("signature", _SIGNATURE, [problem], seen=f"{bundle.name}: signed with {few(keys)}", remedy=_CHANGED)


def _signed(data: bytes) -> list[tuple[Envelope, Statement]]:
    """The bundle's envelopes with what they say, whoever signed it. Raises StatementError when there is none."""
    found = []
    for envelope in read_bundle(data):
        with suppress(StatementError):  # of a version or kind that we do not know: bundle.md has it ignored
            found.append((envelope, read_statement(envelope.payload)))
    if not found:
        raise StatementError("no statement of version 1 is in it")
    return found


def _other_statement(plain: Path, signed: Sequence[Envelope]) -> str:
    """What people read must be what was signed."""
    try:
        if plain.is_file() and _read(plain) not in [one.payload for one in signed]:
            return f"{plain.name} is not the statement that was signed"
    except OSError as error:
        return f"{plain.name} cannot be read: {error.strerror}"
    return ""


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(LIMIT + 1)
