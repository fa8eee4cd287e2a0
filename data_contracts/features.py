"""features: the binary code of each crop, and the signatures that verify a pair of similar codes."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, ONE_MODEL_VERSION, REASON, Column, Contract, Rule

CODE_LENGTHS = (16, 32)
"""Lengths in bytes that a code may have: 128 bits for the crop, or these and 128 for the whole picture. All codes of
one model have the same length."""

INFINITE_OR_NAN = "^.{2}(?:.{4})*?[7F][C-F]"
"""Matches, in hexadecimal digits, a float16 (little endian) whose exponent is all ones (IEEE 754). It is one pattern,
since Spark took half a minute to plan 128 conditions. It looks through every row, so its groups do not backtrack, which
took 15 us more per row."""

_IN_A_TEMPLATE = INFINITE_OR_NAN.replace("{", "{{").replace("}", "}}")

FEATURES = Contract(
    dataset="features",
    owner="computer-vision",
    version=3,
    key=("day", "key", "crop"),
    columns=(
        DAY,
        KEY,
        CROP,
        REASON,
        Column(
            "code",
            pa.binary(),
            "DeepBit code, 8 bits a byte: of the crop, then of the whole image if the model codes both",
        ),
        Column("descriptor", pa.binary(), "activations before the bits, float16 little endian; null if not requested"),
        Column("luminance_hash", pa.binary(), "signs of the 16 x 16 lowest DCT coefficients, 32 bytes"),
        Column("whole_hash", pa.binary(), "luminance hash of the whole image, as `crops` has it, 32 bytes"),
        Column("chroma", pa.binary(), "8 x 8 grid of mean (Cb, Cr), pairs of int8, 128 bytes"),
        Column("label", pa.string(), "label of the crop"),
        Column("model_version", pa.string(), "content hash of the extractor"),
        Column("computed_by", pa.string(), "instruction set and kernels, e.g. avx512/onednn+native"),
    ),
    own_rules=(
        Rule(
            "code_length",
            f"a code has {' or '.join(map(str, CODE_LENGTHS))} bytes, and every used row has one",
            f"(reason = 'ok' AND code IS NULL) OR octet_length(code) NOT IN {CODE_LENGTHS}",
        ),
        Rule(
            "verification_length",
            "descriptor has whole float16 numbers and is not empty, luminance_hash and whole_hash have 32 bytes, "
            "chroma has 128",
            "octet_length(descriptor) % 2 = 1 OR octet_length(descriptor) = 0 OR octet_length(luminance_hash) <> 32"
            " OR octet_length(whole_hash) <> 32 OR octet_length(chroma) <> 128",
        ),
        Rule(
            "used_has_signatures",
            "a used row has the signatures that verify its pairs; the descriptor only if requested",
            "reason = 'ok' AND (luminance_hash IS NULL OR whole_hash IS NULL OR chroma IS NULL)",
        ),
        Rule(
            "descriptor_is_finite",
            "no number in a descriptor is infinite or NaN",
            f"hex(descriptor) RLIKE '{_IN_A_TEMPLATE}'",
        ),
        Rule(
            "used_has_model",
            "a used row has its model's version, and the instruction set and kernels that computed it",
            "reason = 'ok' AND (model_version IS NULL OR computed_by IS NULL)",
        ),
        ONE_MODEL_VERSION,
        Rule("unused_is_empty", "a row that is not used has no code", "reason <> 'ok' AND code IS NOT NULL"),
    ),
)
