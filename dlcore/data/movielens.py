"""MovieLens' ratings of films by people.

Source: Harper, Konstan 2015, "The MovieLens datasets: history and context",
https://grouplens.org/datasets/movielens/1m; BigDL's dataset.movielens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlcore.data.files import found_file, read_limited, read_zipped

SOURCE_URL = "http://files.grouplens.org/datasets/movielens/"
_RATINGS, _ARCHIVE = "ml-1m/ratings.dat", "ml-1m.zip"
_COLUMNS = 4


def read_data_sets(data_dir: str | Path) -> NDArray[np.int64]:
    """(N, 4) user, film, rating of 1 to 5 and the time in seconds, all whole numbers; users and films from 1 on.

    The folder has `ml-1m/ratings.dat`, `ratings.dat`, or `ml-1m.zip`, which is read without being unpacked.

    Raises:
        FileNotFoundError: none is there; the message says what to put where.
        ValueError: a line is not of four whole numbers; it is named.
    """
    path = found_file(
        data_dir, [_RATINGS, "ratings.dat", _ARCHIVE], "MovieLens' ratings of 1 million", SOURCE_URL + _ARCHIVE
    )
    content = read_zipped(path, _RATINGS) if path.suffix == ".zip" else read_limited(path)
    lines = [line for line in content.splitlines() if line.strip()]
    try:
        return np.array([line.split(b"::") for line in lines]).astype(np.int64).reshape(-1, _COLUMNS)
    except ValueError:
        number, wrong = next((place, line) for place, line in enumerate(lines, 1) if not _is_rating(line))
        raise ValueError(
            f"{path}: got line {number} {wrong[:80]!r}, expected user::film::rating::time, four whole numbers"
        ) from None


def get_id_pairs(data_dir: str | Path) -> NDArray[np.int64]:
    """(N, 2) user and film of each rating."""
    return read_data_sets(data_dir)[:, :2]


def get_id_ratings(data_dir: str | Path) -> NDArray[np.int64]:
    """(N, 3) user, film and rating of 1 to 5."""
    return read_data_sets(data_dir)[:, :3]


def _is_rating(line: bytes) -> bool:
    parts = line.split(b"::")
    return len(parts) == _COLUMNS and all(part.strip().lstrip(b"-").isdigit() for part in parts)
