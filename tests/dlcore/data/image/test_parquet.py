"""Pictures in Parquet: written and read again here, and by Spark in tests/dlcore/bigdl/test_spark.py."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dlcore.data.image import ImageFrame, parquet
from dlcore.settings import Settings


def pictures(folder):
    (folder / "pictures" / "inside").mkdir(parents=True)
    for place in range(70):
        Image.new("RGB", (3, 2), (place, 0, 5)).save(
            folder / "pictures" / ("inside" if place % 2 else "") / f"{place:02}.png"
        )
    return folder / "pictures"


@pytest.mark.parametrize("parts", [1, 3])
def test_pictures_come_back(tmp_path, parts):
    folder = pictures(tmp_path)
    ImageFrame.write_parquet(str(folder), str(tmp_path / "stored"), partition_num=parts)
    assert len(list((tmp_path / "stored").glob("*.parquet"))) == parts
    frame, expected = ImageFrame.read_parquet(str(tmp_path / "stored")), ImageFrame.read(folder)
    assert frame.get_uri() == expected.get_uri()
    for got, picture in zip(frame.get_image(), expected.get_image(), strict=True):
        np.testing.assert_array_equal(got, picture)
    with pytest.raises(FileExistsError, match="expected a new one"):
        ImageFrame.write_parquet(folder, tmp_path / "stored")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pictures", "stored"]


def test_what_is_no_picture_table_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    with pytest.raises(FileNotFoundError, match="got no Parquet files"):
        ImageFrame.read_parquet(tmp_path)
    pq.write_table(pa.table({"other": [1]}), path)
    with pytest.raises(ValueError, match=r"table\.parquet: got columns \['other'\]"):
        ImageFrame.read_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"table\.parquet: got a damaged Parquet file"):
        ImageFrame.read_parquet(tmp_path)
    pq.write_table(pa.table({"uri": ["a", None], "bytes": [b"1" * 90, None]}), path)
    assert [feature.check().is_valid for feature in ImageFrame.read_parquet(path).features] == [False, False]
    monkeypatch.setattr(parquet, "settings", lambda: Settings(max_data_bytes=80))
    with pytest.raises(ValueError, match="raise DLCORE_MAX_DATA_BYTES"):
        ImageFrame.read_parquet(path)
    with pytest.raises(FileNotFoundError, match="expected pictures there"):
        ImageFrame.write_parquet(tmp_path / "nothing", tmp_path / "stored")
    with pytest.raises(ValueError, match="got partition_num 0"):
        ImageFrame.write_parquet(path, tmp_path / "stored", partition_num=0)
