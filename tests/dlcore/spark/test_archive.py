"""dlcore in an archive: all that its kernels need is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile

from dlcore import kernels
from dlcore.spark.archive import pack

TOLD = """
from dlcore import kernels
from dlcore.kernels import native_build, onednn_api
print(kernels.active(), native_build.library_path().parent, onednn_api.library()._name)
"""


def test_an_unpacked_archive_has_the_kernels_of_the_machine_that_packed_it(tmp_path):
    pack(tmp_path / "dlcore.tar.gz")
    with tarfile.open(tmp_path / "dlcore.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "unpacked"), "CXX": "no-such-compiler"}
    environment["DLCORE_CACHE"] = str(tmp_path / "nothing")
    told = subprocess.run(
        [sys.executable, "-c", TOLD], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    carried = tmp_path / "unpacked/dlcore/kernels/carried"
    assert told.stdout.split() == [kernels.active(), str(carried), str(carried / "libdnnl.so.3")]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
