"""Which files become which rows."""

from __future__ import annotations

import json
import logging
import os
from datetime import date
from pathlib import Path

import pytest

from spark_jobs.hbase.manifest import entries_of
from spark_jobs.hbase.row_key import row_key

DAY = date(2026, 11, 2)


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_folder_with_metadata(tmp_path: Path) -> None:
    pictures = folder_of(tmp_path / "pictures", "shoes/red.jpg", "shoes/red.png", "hat.jpg", "notes.txt")
    metadata = tmp_path / "metadata.csv"
    metadata.write_text("path,price,title\nhat.jpg,12.50,A hat\nnot-there.jpg,1,x\n")
    entries = entries_of(pictures, DAY, metadata)
    assert [entry.key for entry in entries] == ["hat/0", "notes/0", "shoes/red/0", "shoes/red/1"]
    assert entries[0].metadata == {"price": "12.50", "title": "A hat"}
    assert [entry.path.read_bytes() for entry in entries][2:] == [b"shoes/red.jpg", b"shoes/red.png"]
    assert {entry.day for entry in entries} == {DAY}


def test_manifest_of_lines(tmp_path: Path) -> None:
    lines = [
        {"path": "a.jpg", "day": "2026-11-03", "key": "k/5", "metadata": {"price": 3, "shop": "north"}, "brand": "X"},
        {"path": "b.jpg", "sku": "s"},
        {"path": "c.jpg", "sku": "s", "empty": None},
        {"path": "d.jpg", "sku": "s", "n": 7},
        {"path": "e.jpg", "key": "k/5", "day": "2026-11-03"},
        {"path": "f.jpg", "key": "k/5"},
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    entries = entries_of(manifest, DAY)
    assert [(entry.day.day, entry.key) for entry in entries] == [
        (3, "k/5"),
        (2, "s/0"),
        (2, "s/1"),
        (2, "s/7"),
        (3, "k/5~2"),
        (2, "k/5"),
    ]
    assert entries[0].metadata == {"brand": "X", "price": "3", "shop": "north"}
    assert entries[0].path == tmp_path / "a.jpg"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.jsonl", '{"day": "2026-11-02"}\n', r"m.jsonl:1: got no path"),
        ("m.csv", "path,key\na.jpg,k\n", r"m.csv:2: got no day"),
        ("m.jsonl", "[1]\n", r"m.jsonl:1: got '\[1\]', expected a JSON object"),
        ("m.jsonl", '{"path": "a.jpg", "day": "2026-11-02"}\n{"path"\n', r"m.jsonl:2: Expecting ':' delimiter"),
        ("m.csv", "path,day\na.jpg,2.11.2026\n", r"m.csv:2: got day '2.11.2026'"),
        ("m.csv", 'path,day,metadata\na.jpg,2026-11-02,"{"\n', r"m.csv:2: Expecting property name"),
        ("m.jsonl", '{"path": "a.jpg", "day": "2026-11-02", "sku": true}', r"m.jsonl:1: sku: got True, expected text"),
        ("m.jsonl", '{"path": "a.jpg", "day": "2026-11-02", "sku": 1e17}', r"m.jsonl:1: sku: .* lost digits"),
        ("m.jsonl", "[" * 100_000, r"m.jsonl:1: .*recursion"),
        ("m.jsonl", '{"path": "a.jpg", "day": "2026-11-02", "key": "%s"}' % ("k" * 33_000), r"a key of 33000 bytes"),
        ("m.csv", "path;day\na.jpg;2026-11-02\n", r"m.csv:2: got no path \(columns: path;day\)"),
        ("m.csv", "path,day\n../a.jpg,2026-11-02\n", r"m.csv:2: got the file '../a.jpg', expected one below"),
        ("m.csv", "path,day\nb/../../a.jpg,2026-11-02\n", r"pass --anywhere"),
        ("m.jsonl", '{"path": "/etc/passwd", "day": "2026-11-02"}', r"m.jsonl:1: got the file '/etc/passwd'"),
        ("m.xml", "<a/>", r"expected .csv or .jsonl"),
    ],
)
def test_what_a_manifest_lacks_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        entries_of(tmp_path / name)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_another_encoding_than_utf8_is_said_with_its_line(tmp_path: Path, name: str, encoding: str) -> None:
    line = {"m.csv": "path,title\nä.jpg,ü\n", "m.jsonl": '\n{"path": "ä.jpg"}\n'}[name]
    (tmp_path / name).write_bytes(line.encode(encoding))
    number = 1 if encoding == "utf-16" else 2
    with pytest.raises(ValueError, match=rf"{name}:({number}: got the byte 0x..|\d: ).*(UTF-8|Expecting|no path)"):
        entries_of(tmp_path / name, DAY)


def jsonl(folder: Path, *lines: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("missing", [None, "", float("nan")], ids=["null", "empty", "nan"])
def test_a_cell_without_a_value_is_not_given(tmp_path: Path, missing: object) -> None:
    lines = [
        {"path": "a.jpg", "sku": "A", "n": missing, "key": missing, "day": missing},
        {"path": "b.jpg", "sku": "A", "n": missing},
        {"path": "c.jpg", "sku": missing},
    ]
    assert [entry.key for entry in entries_of(jsonl(tmp_path, *lines), DAY)] == ["A/0", "A/1", "c/0"]


def test_zero_is_a_name_and_whole_floats_are_whole_numbers(tmp_path: Path) -> None:
    lines = [
        {"path": "a.jpg", "key": 0},
        {"path": "b.jpg", "sku": 0, "n": 0},
        {"path": "c.jpg", "sku": 4711.0, "n": 1.0},
        {"path": "d.jpg", "sku": "4711.0", "n": "2.0"},
        {"path": "e.jpg", "sku": 1.5, "n": "front"},
    ]
    keys = [entry.key for entry in entries_of(jsonl(tmp_path, *lines), DAY)]
    assert keys == ["0", "0/0", "4711/1", "4711.0/2", "1.5/front"]


def test_numbers_that_count_up_leave_out_the_given_ones(tmp_path: Path) -> None:
    lines = [{"path": "a.jpg", "sku": "A"}, {"path": "b.jpg", "sku": "A", "n": 0}, {"path": "c.jpg", "sku": "A"}]
    lines += [{"path": "d.jpg", "key": "A/3"}, {"path": "e.jpg", "sku": "B"}]
    keys = [entry.key for entry in entries_of(jsonl(tmp_path, *lines), DAY)]
    assert (keys[1], keys[3], keys[4]) == ("A/0", "A/3", "B/0")
    assert len(set(keys)) == 5
    assert all(key.startswith("A/") and key[2:].isdecimal() for key in keys[:4])


def test_long_cells_and_unusual_line_separators_are_text(tmp_path: Path) -> None:
    text = "x" * 140_000 + "\u2028\u2029\u0085\x0b\x0c\x1c" + "y"
    (tmp_path / "m.csv").write_text(f"path,text\na.jpg,{text}\nb.jpg,short\n", encoding="utf-8")
    for manifest in (
        tmp_path / "m.csv",
        jsonl(tmp_path, {"path": "a.jpg", "text": text}, {"path": "b.jpg", "text": "short"}),
    ):
        assert [entry.metadata["text"] for entry in entries_of(manifest, DAY)] == [text, "short"]


def test_a_quoted_cell_of_several_lines_counts_as_its_lines(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('path,text,day\na.jpg,"one\ntwo\nthree",2026-11-02\nb.jpg,x,never\n')
    with pytest.raises(ValueError, match=r"m.csv:5: got day 'never'"):
        entries_of(tmp_path / "m.csv")


def test_a_trusted_manifest_names_any_file(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    outside = tmp_path / "a.jpg"
    manifest = jsonl(tmp_path / "inner", {"path": str(outside)}, {"path": "../a.jpg", "key": "k"})
    entries = entries_of(manifest, DAY, is_anywhere=True)
    assert [Path(os.path.normpath(entry.path)) for entry in entries] == [outside, outside]
    inside = jsonl(tmp_path / "inner", {"path": str(tmp_path / "inner" / "b.jpg"), "key": "b"}, {"path": "x/../c.jpg"})
    assert [entry.path.name for entry in entries_of(inside, DAY)] == ["b.jpg", "c.jpg"]


def test_links_are_followed_and_circles_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shop, store = tmp_path / "shop", tmp_path / "store"
    folder_of(shop, "a.jpg")
    folder_of(store, "b.jpg", "deep/c.jpg")
    (shop / "linked").symlink_to(store, target_is_directory=True)
    (store / "deep" / "up").symlink_to(store, target_is_directory=True)
    (shop / "d.jpg").symlink_to(tmp_path / "gone.jpg")
    (shop / "e.jpg").symlink_to(shop / "e.jpg")
    (shop / "f.jpg").symlink_to(store / "b.jpg")
    with caplog.at_level(logging.WARNING):
        keys = [entry.key for entry in entries_of(shop, DAY)]
    assert keys == ["a/0", "d/0", "e/0", "f/0", "linked/b/0", "linked/deep/c/0"]
    assert f"{shop}/linked/deep/up links to a folder that contains it" in caplog.text


def test_a_folder_that_cannot_be_listed_ends_the_load_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path, "a.jpg", "closed/b.jpg")
    iterdir = Path.iterdir

    def listed(path: Path):  # root may list any folder, so the system call is refused here
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", listed)
    with pytest.raises(PermissionError, match="closed"):
        entries_of(tmp_path, DAY)


def test_the_metadata_file_is_no_picture_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder_of(tmp_path / "shop", "a.jpg", "sub/b.jpg")
    metadata = tmp_path / "shop" / "meta.csv"
    metadata.write_text("path,colour\n./a.jpg,red\nsub//b.jpg,blue\nc.jpg,green\n")
    (tmp_path / "link.csv").symlink_to(metadata)
    monkeypatch.chdir(tmp_path)
    for name in (metadata, Path("shop/meta.csv"), Path("shop/../shop/meta.csv"), Path("link.csv")):
        found = {entry.key: entry.metadata for entry in entries_of(Path("shop"), DAY, name)}
        assert found == {"a/0": {"colour": "red"}, "sub/b/0": {"colour": "blue"}}
    assert "1 lines name no file below shop, the first 'c.jpg'" in caplog.text


def test_file_names_of_any_bytes_become_rows(tmp_path: Path) -> None:
    names = [b"st\xfchle.jpg", rb"st\xfchle.jpg", "stühle.jpg".encode(), b"a\nb.jpg"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(name)
    entries = entries_of(tmp_path, DAY)
    rows = {row_key(DAY, entry.key, 1).removeprefix(b"0/20261102/"): entry.path.read_bytes() for entry in entries}
    assert rows == {name.replace(b".jpg", b"/0"): name for name in names}
    assert {entry.key for entry in entries} == {"st\\xfchle/0", "st\\x5cxfchle/0", "stühle/0", "a\\x0ab/0"}
