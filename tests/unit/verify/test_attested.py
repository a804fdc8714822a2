"""What stands beside a wheel about its making, and the bills of materials in it: checked against what was planted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trtllm_builder.attest.agreement import descriptor
from trtllm_builder.attest.envelope import sign
from trtllm_builder.attest.keys import PrivateKey, parse_private_key
from trtllm_builder.cli import verify as command
from trtllm_builder.errors import UsageError
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.libraries import Library
from trtllm_builder.repro.lock import Lock, lock_path
from trtllm_builder.repro.sbom import Contained, bill_of_materials
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.checks.lock import lock_check
from trtllm_builder.verify.checks.provenance import provenance_checks
from trtllm_builder.verify.expect import Expectation, record_path

SHA, OTHER = "ab" * 32, "cd" * 32
VERSION = "1.2.0+sd.cu130.sm89"
SBOM = f"tensorrt_llm-{VERSION}.dist-info/sboms/trtllm-builder.cdx.json"
FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def new_key() -> PrivateKey:
    return parse_private_key(Ed25519PrivateKey.generate().private_bytes(*FORM), "a test", {})


def statement(digest: str = SHA, *, predicate: object = None) -> bytes:
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x-1.0-py3-none-any.whl", "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1" if predicate is not None else "https://example.org/other",
        "predicate": predicate if predicate is not None else {},
    }
    return json.dumps(document).encode()


class Beside:
    """Files beside a wheel of SHA, and what the two checks say of them."""

    def __init__(self, directory: Path) -> None:
        self.wheel = directory / "x-1.0-py3-none-any.whl"
        self.plain = directory / f"{self.wheel.name}.intoto.json"
        self.bundle = directory / f"{self.wheel.name}.intoto.jsonl"

    def checks(self, *trusted: PrivateKey) -> tuple[Check, Check]:
        provenance, signature = provenance_checks(self.wheel, SHA, [one.public for one in trusted])
        return provenance, signature


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def test_provenance(beside: Beside) -> None:
    assert {(one.status, one.severity) for one in beside.checks()} == {("skipped", "info")}
    for digest in (SHA, SHA.upper()):
        beside.plain.write_bytes(statement(digest))
        good, _ = beside.checks()
        assert good.status == "passed" and "example.org/other" in str(good.evidence[0])
    beside.plain.write_bytes(statement(OTHER))
    other, _ = beside.checks()
    assert other.fatal and f"x-1.0-py3-none-any.whl {OTHER}" in str(other.evidence[0]) and other.remedy
    beside.plain.write_bytes(statement(predicate={"runDetails": {"builder": {"id": "a:b"}}}))
    odd, _ = beside.checks()
    assert odd.fatal and "it has no buildDefinition" in str(odd.evidence[0])
    for text in ("", "[]", "{}", "[" * 9999, '{"subject": [{"name": 1}]}', '{"payload": "?"}'):
        beside.plain.write_text(text)
        rubbish, _ = beside.checks()
        assert rubbish.fatal and "is no in-toto statement: " in str(rubbish.evidence[0]), text


def test_a_provenance_agrees_with_the_lock_and_with_what_was_signed(beside: Beside) -> None:
    """Without a key too: what contradicts itself is believed by nobody."""
    one = Input("source", "x", "", {"gitCommit": "c" * 40})
    lock_path(beside.wheel).write_text(Lock("mine", {}, 1, (one,)).render())
    definition = {"buildType": "a:b", "externalParameters": {}, "resolvedDependencies": [descriptor(one.to_json())]}
    predicate = {"buildDefinition": definition, "runDetails": {"builder": {"id": "a:b"}}}
    beside.plain.write_bytes(statement(predicate=predicate))
    beside.bundle.write_text(sign(beside.plain.read_bytes(), new_key()).line())
    assert beside.checks()[0].status == "passed"
    beside.plain.write_bytes(beside.plain.read_bytes().replace(b"c" * 40, b"f" * 40))
    found, _ = beside.checks()
    assert found.fatal and [str(told).partition("json")[2] for told in found.evidence] == [
        " is not the statement that was signed, in x-1.0-py3-none-any.whl.intoto.jsonl",
        " was not made from x-1.0-py3-none-any.whl.lock.json: they differ in source x",
    ]


@pytest.mark.parametrize("who", ["record", "plain", "bundle"])
def test_a_lock_is_the_one_that_is_named(beside: Beside, who: str) -> None:
    lock = Lock("mine", {"a": "\u00e9"}, 1, (Input("tool", "ninja", "", {"sha256": SHA}, 1, "1.12"),))
    path = lock_path(beside.wheel)
    assert (lock_check(beside.wheel, SHA).status, lock_check(beside.wheel, SHA).severity) == ("skipped", "info")
    path.write_text(lock.render())
    unnamed = lock_check(beside.wheel, SHA)
    assert unnamed.status == "skipped" and "neither record nor provenance" in str(unnamed.evidence[0])

    named = {"lock": {"sha256": lock.digest}}
    if who == "record":
        record = {"wheel": {"sha256": SHA}, **named}
        record_path(beside.wheel).write_text(json.dumps(record))
    else:
        said = statement(predicate={"buildDefinition": {"internalParameters": named}})
        beside.plain.write_bytes(said) if who == "plain" else beside.bundle.write_text(sign(said, new_key()).line())
    good = lock_check(beside.wheel, SHA)
    assert good.status == "passed" and lock.digest in str(good.evidence[0])
    # Of other bytes it says nothing of this wheel.
    assert lock_check(beside.wheel, OTHER).status == "skipped"
    # How it is laid out does not count, what it says does.
    path.write_text(json.dumps(lock.to_json(), indent=7))
    assert lock_check(beside.wheel, SHA).status == "passed"
    for text in (lock.render().replace("1.12", "1.13"), "", "[]", "[" * 9999, '{"a": NaN}'):
        path.write_text(text)
        altered = lock_check(beside.wheel, SHA)
        assert altered.fatal and path.name in str(altered.evidence[0]) and altered.remedy, text


def test_signatures(beside: Beside) -> None:
    ours, strange = new_key(), new_key()
    beside.plain.write_bytes(statement())
    _, unsigned = beside.checks(ours)
    assert unsigned.fatal and "it is not signed" in str(unsigned.evidence[0])

    beside.bundle.write_text("junk\n" + sign(statement(), ours).line())
    provenance, good = beside.checks(strange, ours)
    assert provenance.status == good.status == "passed" and ours.public.keyid in str(good.evidence[0])
    _, unknown = beside.checks(strange)
    assert unknown.fatal and f"it names {ours.public.keyid[:16]}" in str(unknown.evidence[0])
    # Nothing is believed of who signed it while no key was given.
    _, unasked = beside.checks()
    assert (unasked.status, unasked.severity) == ("skipped", "info") and "--public-key" in str(unasked.evidence[0])

    # What people read beside it is another statement, of the same wheel: that was not signed.
    beside.plain.write_bytes(statement(predicate={}))
    _, swapped = beside.checks(ours)
    assert swapped.fatal and "is not the statement that was signed" in str(swapped.evidence[0])
    beside.plain.unlink()
    provenance, alone = beside.checks(ours)
    assert provenance.status == alone.status == "passed"

    beside.bundle.write_text(sign(statement(OTHER), ours).line())
    for check in beside.checks(ours):
        assert check.fatal and any(told in str(check.evidence[0]) for told in ("other bytes", OTHER))
    # Attestations of kinds that we do not know are passed over, as in-toto's bundle.md says.
    older = sign(statement().replace(b"Statement/v1", b"Statement/v0.1"), ours).line()
    beside.bundle.write_text(older + sign(statement(), ours).line())
    assert {one.status for one in beside.checks(ours)} == {"passed"}
    for text in ("", "{}", older):
        beside.bundle.write_text(text)
        assert beside.checks(ours)[1].fatal and beside.checks()[1].fatal


def test_a_signature_that_was_tampered_with(beside: Beside) -> None:
    key = new_key()
    document = sign(statement(OTHER), key).to_json()
    document["payload"] = sign(statement(SHA), new_key()).to_json()["payload"]
    beside.bundle.write_text(json.dumps(document))
    _, check = beside.checks(key)
    assert check.fatal and "none of the keys that were given" in str(check.evidence[0])


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (SBOM, bill_of_materials("tensorrt-llm", VERSION, ()).decode(), ""),
        (SBOM, bill_of_materials("tensorrt-llm", "9", ()).decode(), "it describes tensorrt-llm 9"),
        (SBOM, bill_of_materials("other", VERSION, ()).decode(), f"it describes other {VERSION}"),
        (SBOM, "{", "it is no JSON"),
        (SBOM, "[]", "it is no JSON object"),
        (SBOM, '{"bomFormat": "CycloneDX", "bomFormat": "x"}', "a key stands in it twice"),
        (SBOM, "{}", "named as CycloneDX, and is none"),
        (SBOM, '{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [7]}', "no list of things with names"),
        (SBOM, '{"bomFormat": "CycloneDX", "specVersion": "1.6"}', "it describes nothing"),
        # Other tools' documents: of any format (PEP 770).
        (SBOM.replace("trtllm-builder.cdx", "auditwheel.cdx"), '{"bomFormat": "CycloneDX", "specVersion": "1.4"}', ""),
        (SBOM.replace("trtllm-builder.cdx", "x.spdx"), '{"spdxVersion": "SPDX-2.3"}', ""),
        (SBOM.replace("trtllm-builder.cdx.json", "x.spdx"), "SPDXVersion: SPDX-2.2", ""),
        (SBOM.replace("trtllm-builder.cdx", "x.spdx"), "{", "it is no JSON"),
    ],
)
def test_bills_of_materials(make_wheel: Callable[..., Path], name: str, text: str, told: str) -> None:
    found = next(one for one in audit(make_wheel({name: text}), Expectation()).checks if one.id == "sbom")
    assert found.status == ("failed" if told else "passed"), found.evidence
    assert found.severity == ("error" if "trtllm-builder" in name else "warning")
    assert told in str(found.evidence[0]) and found.evidence[0].member == name


def test_a_bill_is_of_the_very_libraries(make_wheel: Callable[..., Path]) -> None:
    place, data = "tensorrt_llm/libs/libx.so", b"\x7fELF"

    def check(**other: str) -> Check:
        sha256 = hashlib.sha256(data).hexdigest()
        library = Library(other.get("member", place), other.get("sha256", sha256), 4, "", "", "")
        bill = bill_of_materials("tensorrt-llm", VERSION, (), [Contained(library, made=True)])
        seen = audit(make_wheel({SBOM: bill.decode(), place: data}), Expectation())
        return next(one for one in seen.checks if one.id == "sbom")

    assert check().status == "passed"
    for other in ({"sha256": "0" * 64}, {"member": "tensorrt_llm/libs/gone.so"}):
        found = check(**other)
        assert found.fatal and f"{other.get('member', place)} is not the one" in str(found.evidence[0])


def test_a_bill_that_record_does_not_name(make_wheel: Callable[..., Path]) -> None:
    import zipfile

    wheel = make_wheel()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(SBOM, bill_of_materials("tensorrt-llm", VERSION, ()))
    found = next(one for one in audit(wheel, Expectation()).checks if one.id == "sbom")
    assert found.fatal and "not in RECORD" in str(found.evidence[0])


def test_a_build_tag_stands_in_the_name_and_in_wheel(make_wheel: Callable[..., Path]) -> None:
    info = f"tensorrt_llm-{VERSION}.dist-info/WHEEL"
    text = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n"
    for inside, tag, told in (
        ("20260101_1a2b3c4d", "20260101_1a2b3c4d-", ""),
        ("07x", "7x-", ""),
        ("", "1-", "made as no build, the file name says build 1"),
        ("2", "1-", "made as build 2, the file name says build 1"),
        ("2", "", "made as build 2, the file name says no build"),
    ):
        wheel = make_wheel({info: text + (f"Build: {inside}\n" if inside else "")})
        renamed = wheel.rename(wheel.with_name(wheel.name.replace("-py3-", f"-{tag}py3-")))
        found = next(one for one in audit(renamed, Expectation()).checks if one.id == "tags")
        assert told in str(found.evidence[0]) and found.status == ("failed" if told else "passed"), (inside, tag)


def test_the_key_is_read_before_the_wheel(make_wheel: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        command.verify(make_wheel(), public_key=[tmp_path / "none"])
