"""The closed list of reasons and flags that the pipeline's rows carry, each with its meaning in one line.

Every row of every dataset has exactly one reason; `ok` is the only one that means "used". A row that is not used keeps
its reason through all later datasets. Flags say what was noticed or done to an image that is used.
Standard library only: the DAG files and the page in Airflow's UI read it too.

>>> Reason("blank").meaning
'nearly one colour: nothing stands out, not even a line'
>>> Reason.OK == "ok"
True
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Word(StrEnum):
    """A string of a closed list with its `meaning`, one line for reports."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Make the string `value` and attach its meaning."""
        word = str.__new__(cls, value)
        word._value_ = value
        word.meaning = meaning
        return word


class Reason(Word):
    """Why a row is used or not, in the order of the checks."""

    OK = "ok", "the image is used"
    FOREIGN_ROW = "foreign_row", "the row key does not have the table's layout; `key` is the whole row key"
    MISSING_IMAGE = "missing_image", "the row has no image cell"
    EMPTY = "empty", "the image cell has no bytes"
    TOO_MANY_BYTES = "too_many_bytes", "the image cell is larger than the limit"
    PLACEHOLDER = "placeholder", "a listed placeholder, shown where there is no picture"
    HTML_ERROR_PAGE = "html_error_page", "an HTML page saved as an image"
    LEADING_GARBAGE = "leading_garbage", "an image begins only after foreign bytes"
    NOT_IMAGE = "not_image", "no image format begins like this (JSON, SVG, text, anything else)"
    UNSUPPORTED_FORMAT = "unsupported_format", "an image format that the pipeline does not decode"
    CORRUPT_HEADER = "corrupt_header", "the header names an image format but cannot be read"
    TOO_MANY_PIXELS = "too_many_pixels", "the header promises more pixels than the limit (decompression bomb)"
    TOO_SMALL = "too_small", "a side is shorter than the limit"
    EXTREME_ASPECT = "extreme_aspect", "one side is too many times as long as the other"
    TOO_MUCH_WORK = "too_much_work", "its structure (scans, chunks, tiles) needs more work or memory than the limits"
    TRUNCATED = "truncated", "the file ends before 95 % of its rows"
    CORRUPT_PIXELS = "corrupt_pixels", "the pixels fail the file's own checksums before 95 % of its rows"
    TIMED_OUT = "timed_out", "decoding took more CPU time than the limit"
    UNDECODABLE = "undecodable", "the decoder gave up on the pixels"
    BLANK = "blank", "nearly one colour: nothing stands out, not even a line"
    NO_OBJECT = "no_object", "no object was found, and the crop policy does not fall back to the whole image"
    WITHDRAWN = "withdrawn", "taken down by a person: the picture is in no group and no index"


class Flag(Word):
    """What was noticed about an image that is used, or done to it."""

    TRUNCATED_TAIL = "truncated_tail", "the file ends early; at least 95 % of its rows were decoded"
    CORRUPT_DATA = "corrupt_data", "part of the file is damaged; part of the picture may be wrong"
    TRAILING_GARBAGE = "trailing_garbage", "foreign bytes follow the end of the image"
    SEVERAL_PICTURES = "several_pictures", "the file has several JPEGs; the first is used"
    LEADING_GARBAGE_SKIPPED = "leading_garbage_skipped", "foreign bytes before the image were skipped"
    EXIF_ROTATED = "exif_rotated", "turned upright, as its EXIF orientation says"
    COLOUR_PROFILE = "colour_profile", "converted to sRGB from the colours of its own profile"
    PROFILE_IGNORED = (
        "profile_ignored",
        "its colours are not sRGB, or their description cannot be used; treated as sRGB",
    )
    CMYK = "cmyk", "converted from CMYK; the colour profile is ignored"
    SIXTEEN_BIT = "sixteen_bit", "scaled from 16 to 8 bits per sample"
    FLOAT_SAMPLES = "float_samples", "scaled from floating-point samples"
    GRAYSCALE = "grayscale", "has no colour channels"
    PALETTE = "palette", "expanded from a palette"
    ALPHA = "alpha", "transparent parts are composited on white"
    GRAY_GROUND = "gray_ground", "composited on gray, since nothing of it would stand out on white"
    ANIMATED = "animated", "it has several frames; the first is used"
    DOWNSCALED = "downscaled", "larger than the canonical side; scaled down"


REASONS: dict[str, str] = {reason.value: reason.meaning for reason in Reason}
FLAGS: dict[str, str] = {flag.value: flag.meaning for flag in Flag}
