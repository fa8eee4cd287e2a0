"""The pictures that a verifier learns of are cut as the pipeline cuts them, and a verifier alone can be made anew."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from dlcore.search.verification import INPUTS, cues, joined
from dlcore.vision.extractor import HASH_SIDE, load_extractor
from sample_data.catalogue.planting import Entry, plan_catalogue
from spark_jobs.settings import REPOSITORY
from spark_jobs.stages.changed_copies import ANOTHER_THING, NEW_BACKDROP
from spark_jobs.train_features import Options
from spark_jobs.training.feature_judging import Judged, judged_of, learn_verifier
from spark_jobs.training.promotion import command_of

MODELS = REPOSITORY / "models"


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    planned = plan_catalogue(7, [date(2026, 1, day) for day in (1, 2, 3)], 32).entries
    return [entry for entry in planned if entry.bad is None][:4]


@pytest.fixture(scope="module")
def judged(entries: list[Entry]) -> Judged:
    return judged_of(entries, [], HASH_SIDE, 1, 4, str(MODELS / "detector-small"))


def test_the_detector_cuts_pictures_and_their_copies(entries: list[Entry], judged: Judged) -> None:
    beside = judged_of(entries, [], HASH_SIDE, 1, len(entries) + 1)
    np.testing.assert_array_equal(judged.wholes, beside.wholes)
    assert (judged.crops != beside.crops).any()
    changes = {change for _, change, _, _ in judged.copies}
    assert {NEW_BACKDROP, ANOTHER_THING} <= changes  # which take a second picture


def test_a_verifier_learns_of_them(judged: Judged) -> None:
    extractor = load_extractor(str(MODELS / "deepbit-small"), 1)
    verifier = learn_verifier(extractor, judged)
    assert len(verifier.weights) == len(INPUTS)
    originals, copies = judged.changed_views(extractor)
    both = joined(originals, copies.signatures)
    found = verifier.probability(cues(both, copies.source, len(originals) + np.arange(len(copies.source))))
    assert found[copies.change == NEW_BACKDROP].mean() > found[copies.change == ANOTHER_THING].mean()


def test_a_flag_is_said_as_it_is_given() -> None:
    assert command_of("train_features", Options(verifier_only=True, judged=9)).endswith(" --judged 9 --verifier-only")
