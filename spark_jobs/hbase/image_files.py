"""Every file below a folder: links are followed, circles are left out, nothing else is skipped in silence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_Identity = tuple[int, int]
"""Device and inode: what a path leads to, whatever its name."""


def image_files(folder: Path, leave_out: Path | None = None) -> Iterator[Path]:
    """Everything below a folder that is not itself a folder, by name; a link that leads nowhere counts as a file.

    leave_out: a file to skip (the metadata beside the images), whatever path leads to it.

    Raises:
        OSError: a folder cannot be listed.
    """
    left_out = _identity(leave_out) if leave_out else None
    found = _below(folder, (_identity(folder),))
    return iter(sorted(path for path in found if left_out is None or _identity(path) != left_out))


def _below(folder: Path, above: tuple[_Identity | None, ...]) -> Iterator[Path]:
    for path in folder.iterdir():
        if not path.is_dir():
            yield path
        elif (identity := _identity(path)) in above:
            logger.warning("%s links to a folder that contains it: its images are loaded once", path)
        else:
            yield from _below(path, (*above, identity))


def _identity(path: Path) -> _Identity | None:
    """Device and inode of what a path leads to; None if it leads nowhere."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
