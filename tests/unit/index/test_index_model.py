from __future__ import annotations

from collections.abc import Callable

import pytest

from trtllm_builder.index.model import Index, Wheel, is_safe_name, variant_of

Entry = Callable[..., Wheel]


@pytest.mark.parametrize(
    ("version", "variant"),
    [
        ("1.2.0+sd.cu129.sm89", "cu129-sm89"),
        ("1.2.0+sd.cu130.sm80.sm120", "cu130-sm80-sm120"),
        ("1.2.0+md.cu130.sm90", "md-cu130-sm90"),
        ("1.2.0+ours.3.sd.cu130.sm90", "cu130-sm90"),
        ("1.2.0+cu129.sm89", ""),
        ("1.2.0+sd.cu129", ""),
        ("1.2.0+sd.cu129.sm89.x", ""),
        ("1.2.0", ""),
    ],
)
def test_the_label_names_the_variant(version: str, variant: str) -> None:
    assert variant_of(version) == variant


def test_a_variant_is_offered_its_own_wheels_and_everybody_elses(entry: Entry) -> None:
    """sm120 must not outrank sm89 on an sm_89 GPU, nor must a newer wheel that NVIDIA made."""
    ada, blackwell = entry(), entry(version="1.3.0+sd.cu130.sm120")
    official, torch = entry(version="1.4.0"), entry("torch", "2.9.1")
    index = Index((ada, blackwell, official, torch))
    assert index.variants == ("cu130-sm120", "cu130-sm89")
    assert index.of_variant("cu130-sm89").wheels == (ada, torch)
    assert index.of_variant("cu130-sm120").wheels == (blackwell, torch)


def test_versions_are_in_order_not_names(entry: Entry) -> None:
    wheels = tuple(entry("torch", version) for version in ("2.10.0", "2.9.0", "2.10.0rc1"))
    assert [wheel.version for wheel in Index(wheels).projects["torch"]] == ["2.9.0", "2.10.0rc1", "2.10.0"]


def test_another_spelling_is_the_same_name(entry: Entry) -> None:
    wheel = entry()
    named = Index((wheel,)).named
    assert named("TensorRT.LLM-1.2.0+SD.cu130.sm89-cp312-cp312-linux_x86_64.whl") is wheel
    assert named("tensorrt_llm-1.2+sd.cu130.sm89-cp312-cp312-linux_x86_64.whl") is wheel
    assert named("tensorrt_llm-1.2.0+sd.cu130.sm89-1-cp312-cp312-linux_x86_64.whl") is None
    assert named("tensorrt_llm-1.2.0+sd.cu130.sm89-cp311-cp311-linux_x86_64.whl") is None


@pytest.mark.parametrize(
    "name", ["../a-1-py3-none-any.whl", "a/b.whl", "a b.whl", "a\n.whl", "-a.whl", "a.whl\n", "ä.whl"]
)
def test_names_that_lead_elsewhere_or_need_quoting(name: str) -> None:
    assert not is_safe_name(name) and is_safe_name("a-1.0+cu130-1_x-py3-none-any.whl")
