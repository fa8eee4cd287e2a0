"""The articles of 20 newsgroups, and GloVe's vectors of words.

Source: Lang 1995, "NewsWeeder", http://qwone.com/~jason/20Newsgroups; Pennington et al. 2014, "GloVe",
https://nlp.stanford.edu/projects/glove; BigDL's dataset.news20.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from dlcore.activity import Array
from dlcore.data.files import found_file, read_limited, read_tar, read_zipped

NEWS20_URL = "http://qwone.com/~jason/20Newsgroups/20news-18828.tar.gz"
GLOVE_URL = "https://nlp.stanford.edu/data/glove.6B.zip"
CLASS_NUM = 20
_NEWS, _GLOVE = "20news-18828", "glove.6B"


def get_news20(source_dir: str | Path = "./data/news20/") -> list[tuple[str, int]]:
    """(text, label) of each article, groups and articles by name; labels are 1-based, in the order of the groups'
    names.

    The folder has `20news-18828`, a folder for each group with a file for each article, or `20news-18828.tar.gz`, which
    is read without being unpacked. Source: BigDL's get_news20.

    Raises:
        FileNotFoundError: neither is there; the message says what to put where.
        ValueError: the archive is damaged, or there are no articles.
    """
    path = found_file(source_dir, [_NEWS, f"{_NEWS}.tar.gz"], "the articles of 20 newsgroups", NEWS20_URL)
    articles = sorted(_of_folder(path) if path.is_dir() else _of_archive(path))
    if not articles:
        raise ValueError(f"{path}: got no articles, expected {_NEWS}/<group>/<number>; fetch it again")
    labels = {group: place for place, group in enumerate(sorted({group for group, *_ in articles}), 1)}
    return [(text, labels[group]) for group, _, text in articles]


def _of_folder(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(group, name, text) of each article."""
    for path in folder.glob("*/*"):
        if path.name.isdigit() and path.is_file():
            yield path.parent.name, path.name, read_limited(path).decode("latin-1")


def _of_archive(path: Path) -> Iterator[tuple[str, str, str]]:
    for name, content in read_tar(path):
        parts = PurePosixPath(name).parts
        if len(parts) >= 2 and parts[-1].isdigit():
            yield parts[-2], parts[-1], content.decode("latin-1")


def get_glove_w2v(source_dir: str | Path = "./data/news20/", dim: int = 100) -> dict[str, Array]:
    """Word -> its vector (dim,) float32.

    The folder has `glove.6B/glove.6B.100d.txt`, that file itself, or `glove.6B.zip`, which is read without being
    unpacked; dim is one of 50, 100, 200 and 300. Source: BigDL's get_glove_w2v.

    Raises:
        FileNotFoundError: none is there; the message says what to put where.
        ValueError: the archive is damaged, or a line is not of a word and `dim` numbers; it is named.
    """
    name = f"{_GLOVE}.{dim}d.txt"
    path = found_file(source_dir, [f"{_GLOVE}/{name}", name, f"{_GLOVE}.zip"], "GloVe's vectors of words", GLOVE_URL)
    content = read_zipped(path, name) if path.suffix == ".zip" else read_limited(path)
    found: dict[str, Array] = {}
    for number, line in enumerate(content.splitlines(), 1):
        word, *numbers = line.decode("utf-8", "replace").rsplit(" ", dim)
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            vector = np.empty(0, np.float32)
        if vector.shape != (dim,):
            raise ValueError(f"{path}: got line {number} {line[:60]!r}, expected a word and {dim} numbers")
        found[word] = vector
    return found
