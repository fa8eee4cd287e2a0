"""The first picture of a file, without what the decoder does not need: metadata, further frames, foreign bytes.

What is left out cannot spoil the picture: a comment with a wrong checksum, a truncated second frame, a text of
megabytes. Standard library and numpy only, nothing is decoded to pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from data_contracts.reasons import Flag


@dataclass(frozen=True)
class FirstPicture:
    """A file of one picture for the decoder, and what its structure says.

    ends_early: bytes of the picture are missing.   depth: bits per sample, 0 if the format does not matter.
    transparent: the gray (1 value) or colour (3) that stands for transparent, as stored.
    """

    data: bytes
    flags: tuple[Flag, ...] = ()
    ends_early: bool = False
    depth: int = 0
    transparent: tuple[int, ...] = ()
