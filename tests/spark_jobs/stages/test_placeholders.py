"""The list of placeholders: what `sha256sum` writes is read, anything else is an error that names the line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from data_contracts.reasons import Reason
from spark_jobs.stages.decode import decode_image
from spark_jobs.stages.limits import Limits
from spark_jobs.stages.placeholders import read_placeholders
from tests.spark_jobs.stages.picture_files import PICTURE, encoded


def test_list_as_sha256sum_writes_it(tmp_path: Path) -> None:
    listed, other = encoded(PICTURE, "PNG"), encoded(PICTURE, "JPEG")
    (tmp_path / "no picture.png").write_bytes(listed)
    (tmp_path / "page.png").write_bytes(b"<html>")
    written = subprocess.run(["sha256sum", "no picture.png", "page.png"], cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "list").write_bytes(b"# no picture yet\n\n" + written.stdout)
    limits = Limits(placeholders=read_placeholders((tmp_path / "list").as_uri()))
    assert len(limits.placeholders) == 2
    assert decode_image(listed, limits).reason is Reason.PLACEHOLDER
    assert decode_image(b"<html>", limits).reason is Reason.PLACEHOLDER
    assert decode_image(other, limits).reason is Reason.OK
    assert read_placeholders("") == frozenset()


@pytest.mark.parametrize("line", ["0f3a", "no picture.png", "g" * 64, "\0\1\2"])
def test_line_without_a_hash_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "list").write_text(f"# one\n{line}\n")
    with pytest.raises(ValueError, match=r"list, line 2: got .* expected a SHA-256"):
        read_placeholders(str(tmp_path / "list"))


def test_missing_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_placeholders((tmp_path / "nowhere").as_uri())
