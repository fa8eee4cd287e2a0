"""detections: the objects that the detector finds in each image."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import DAY, KEY, ONE_MODEL_VERSION, REASON, Column, Contract, Rule

DETECTED_OBJECT = pa.struct(
    [
        ("label", pa.string()),
        ("score", pa.float32()),
        ("x_min", pa.float32()),
        ("y_min", pa.float32()),
        ("x_max", pa.float32()),
        ("y_max", pa.float32()),
    ]
)
"""One object: box corners as parts of the canonical image's width and height, 0 to 1."""

_ALL = "concat(objects, guesses)"

DETECTIONS = Contract(
    dataset="detections",
    owner="computer-vision",
    version=3,
    key=("day", "key"),
    columns=(
        DAY,
        KEY,
        REASON,
        Column(
            "objects",
            pa.list_(DETECTED_OBJECT),
            "objects above the threshold, best score first; empty if there are none",
        ),
        Column(
            "guesses",
            pa.list_(DETECTED_OBJECT),
            "what the detector considers possible, class by class, best first, to score it by; one object has several",
        ),
        Column("model_version", pa.string(), "content hash of the detector, null if it did not see the row"),
        Column("computed_by", pa.string(), "instruction set and kernels, e.g. avx512/onednn+native"),
    ),
    own_rules=(
        Rule(
            "boxes_inside_image",
            "0 <= x_min < x_max <= 1 and the same for y",
            f"exists({_ALL}, o -> NOT coalesce(0 <= o.x_min AND o.x_min < o.x_max AND o.x_max <= 1"
            " AND 0 <= o.y_min AND o.y_min < o.y_max AND o.y_max <= 1, false))",
        ),
        Rule(
            "scores_in_range",
            "scores are in [0, 1]",
            f"exists({_ALL}, o -> NOT coalesce(o.score BETWEEN 0 AND 1, false))",
        ),
        Rule("objects_have_labels", "every object has a label", f"exists({_ALL}, o -> o.label IS NULL)"),
        Rule(
            "objects_have_model",
            "objects come with the model that found them",
            f"size({_ALL}) > 0 AND model_version IS NULL",
        ),
        ONE_MODEL_VERSION,
        Rule("unused_is_empty", "a row that is not used has no objects", f"reason <> 'ok' AND size({_ALL}) > 0"),
    ),
)
