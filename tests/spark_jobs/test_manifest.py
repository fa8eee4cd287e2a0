"""Which files become which rows."""

import json
from datetime import date
from pathlib import Path

import pytest

from spark_jobs.manifest import entries_of

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
        ("m.csv", "path,day\na.jpg,2.11.2026\n", r"m.csv:2: Invalid isoformat string: '2.11.2026'"),
        ("m.csv", 'path,day,metadata\na.jpg,2026-11-02,"{"\n', r"m.csv:2: Expecting property name"),
        ("m.xml", "<a/>", r"expected .csv or .jsonl"),
    ],
)
def test_what_a_manifest_lacks_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        entries_of(tmp_path / name)
