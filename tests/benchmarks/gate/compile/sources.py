"""Kernel files to compile: CUTLASS GEMMs of our own text, whose peak grows with their instantiations, and light ones.

Measured with nvcc 13.0 for sm_90a: one instantiation takes about 1.8 GB and 22 s of a core, four take 2.9 GB and 41 s,
a light file 0.4 GB and 4 s. The headers are those of the Python package ``nvidia-cutlass``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HEAD = """\
#include "cutlass/cutlass.h"
#include "cute/tensor.hpp"
#include "cutlass/epilogue/collective/collective_builder.hpp"
#include "cutlass/gemm/collective/collective_builder.hpp"
#include "cutlass/gemm/device/gemm_universal_adapter.h"
#include "cutlass/gemm/kernel/gemm_universal.hpp"
#include "cutlass/util/packed_stride.hpp"

namespace bench
{
template <typename Element, int kM, int kN, int kK, int kSalt>
cutlass::Status launch(
    cutlass::gemm::GemmCoord const& size, Element const* a, Element const* b, Element* d, cudaStream_t stream)
{
    namespace gemm = cutlass::gemm;
    using Row = cutlass::layout::RowMajor;
    using Tile = cute::Shape<cute::Int<kM>, cute::Int<kN>, cute::Int<kK>>;
    using Alone = cute::Shape<cute::Int<1>, cute::Int<1>, cute::Int<1>>;
    constexpr int kAlign = 128 / cutlass::sizeof_bits<Element>::value;
    using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<cutlass::arch::Sm90,
        cutlass::arch::OpClassTensorOp, Tile, Alone, cutlass::epilogue::collective::EpilogueTileAuto, float, float,
        Element, Row, kAlign, Element, Row, kAlign, cutlass::epilogue::collective::EpilogueScheduleAuto>::CollectiveOp;
    constexpr int kTaken = static_cast<int>(sizeof(typename Epilogue::SharedStorage));
    using Mainloop = typename gemm::collective::CollectiveBuilder<cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp,
        Element, Row, kAlign, Element, cutlass::layout::ColumnMajor, kAlign, float, Tile, Alone,
        gemm::collective::StageCountAutoCarveout<kTaken>, gemm::collective::KernelScheduleAuto>::CollectiveOp;
    using Kernel = gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Mainloop, Epilogue>;
    using Gemm = gemm::device::GemmUniversalAdapter<Kernel>;

    int const m = size.m(), n = size.n(), k = size.k() + kSalt;
    typename Gemm::Arguments arguments{gemm::GemmUniversalMode::kGemm, {m, n, k, 1},
        {a, cutlass::make_cute_packed_stride(typename Kernel::StrideA{}, {m, k, 1}),
         b, cutlass::make_cute_packed_stride(typename Kernel::StrideB{}, {n, k, 1})},
        {{1.f, 0.f}, d, cutlass::make_cute_packed_stride(typename Kernel::StrideC{}, {m, n, 1}),
         d, cutlass::make_cute_packed_stride(typename Kernel::StrideD{}, {m, n, 1})}};
    Gemm run;
    cutlass::Status const status = run.initialize(arguments, nullptr, stream);
    return status == cutlass::Status::kSuccess ? run.run(stream) : status;
}

"""
_INSTANCE = """\
template cutlass::Status launch<cutlass::{type}, {m}, {n}, 64, {salt}>(
    cutlass::gemm::GemmCoord const&, cutlass::{type} const*, cutlass::{type} const*, cutlass::{type}*, cudaStream_t);
"""
_KINDS = (("half_t", 128, 128), ("bfloat16_t", 128, 128), ("half_t", 64, 128), ("bfloat16_t", 128, 256))
_LIGHT = """\
#include "cutlass/cutlass.h"
#include "cutlass/numeric_types.h"

namespace bench
{{
template <int kSalt>
__global__ void scale(float* x, cutlass::half_t const* y, int count)
{{
    int const index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count)
    {{
        x[index] = x[index] * float(y[index]) + kSalt;
    }}
}}
template __global__ void scale<{salt}>(float*, cutlass::half_t const*, int);
}} // namespace bench
"""


@dataclass(frozen=True)
class Amount:
    """How many files of each sort."""

    heavy: int
    medium: int
    light: int


AMOUNTS = {"whole": Amount(8, 8, 16), "half": Amount(4, 4, 8), "small": Amount(1, 2, 4), "tiny": Amount(0, 1, 3)}


def write_sources(root: Path, amount: Amount) -> list[Path]:
    """The files below ``root``, in the order that a build has them in: the sorts mixed, as in a library."""
    directory = root / "kernels" / "cutlass_kernels"
    directory.mkdir(parents=True, exist_ok=True)
    texts: dict[Path, str] = {}
    for number in range(max(amount.heavy, amount.medium, amount.light)):
        if number < amount.heavy:
            texts[directory / f"gemm_heavy{number}.cu"] = _gemm(4, number)
        if number < amount.medium:
            texts[directory / f"gemm_medium{number}.cu"] = _gemm(1, number)
        if number < amount.light:
            texts[root / "kernels" / f"light{number}.cu"] = _LIGHT.format(salt=number)
    for path, text in texts.items():
        path.write_text(text)
    return list(texts)


def _gemm(instances: int, salt: int) -> str:
    wanted = (_KINDS[(salt + number) % len(_KINDS)] for number in range(instances))
    body = "".join(_INSTANCE.format(type=kind, m=m, n=n, salt=salt) for kind, m, n in wanted)
    return f"{_HEAD}{body}}} // namespace bench\n"
