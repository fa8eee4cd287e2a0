"""Sentences: read them, split them, take them apart into words, pad them at both ends.

The rules are ours, short and without trained models, where BigDL's Python calls NLTK. Source: BigDL's dataset.sentence.
"""

from __future__ import annotations

import re
from pathlib import Path

from dlcore.data.files import read_limited

SENTENCE_START, SENTENCE_END = "SENTENCESTART", "SENTENCEEND"

_SHORTENED = "mr mrs ms dr prof sr jr st vs etc inc ltd co corp vol fig approx dept gen gov sen rep e.g i.e u.s u.k"
_ABBREVIATIONS = frozenset(_SHORTENED.split())
_STOP = re.compile(r"""[.!?]+["')\]]*\s+(?=["'(\[]*[A-Z0-9])""")
_CONTRACTION = re.compile(r"(?i)(n't|'(?:s|m|d|ll|re|ve))(?=\W|$)")
_WORD = re.compile(
    rf"""
      n't(?!\w) | '(?:s|m|d|ll|re|ve)(?!\w)
    | (?:{"|".join(map(re.escape, sorted(_ABBREVIATIONS)))})\.(?=\s)
    | (?:[A-Za-z]\.){{2,}}               # U.S.
    | \d+(?:[.,:]\d+)*                 # 3, 3.14, 1,000, 10:30
    | [^\W\d_]+(?:[-&.][^\W_]+)*        # words, with hyphens and points inside
    | \w+ | \.\.\. | -- | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)


def read_localfile(fileName: str | Path) -> list[str]:
    """The lines of a text file in UTF-8, gzipped or not, each with its end.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a text in UTF-8, is damaged, or is larger than DLCORE_MAX_DATA_BYTES.
    """
    path = Path(fileName)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: got no file, expected a text with one sentence per line; put one there")
    try:
        return read_limited(path).decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: got bytes that are not UTF-8 ({error.reason} at {error.start}), expected text"
        ) from error


def sentences_split(line: str) -> list[str]:
    """The sentences of a text: they end at . ! or ? before a capital letter or a digit, but not behind an initial or a
    usual abbreviation.

    Example:
        >>> sentences_split("Dr. Smith paid $3.50. Why? J. R. knew!")
        ['Dr. Smith paid $3.50.', 'Why?', 'J. R. knew!']
    """
    found, start = [], 0
    for end in _STOP.finditer(line):
        before = re.search(r"\S*$", line[start : end.start()])
        word = before.group().lower().lstrip("\"'([") if before else ""
        if line[end.start()] == "." and (word in _ABBREVIATIONS or re.fullmatch(r"[a-z]", word)):
            continue
        found.append(line[start : end.end()].strip())
        start = end.end()
    rest = line[start:].strip()
    return [*found, rest] if rest else found


def sentences_bipadding(sent: str) -> str:
    """The sentence between the words SENTENCESTART and SENTENCEEND.

    Example:
        >>> sentences_bipadding("so it is")
        'SENTENCESTART so it is SENTENCEEND'
    """
    return f"{SENTENCE_START} {sent} {SENTENCE_END}"


def sentence_tokenizer(sentences: str) -> list[str]:
    """The words and signs of a text, as the Penn Treebank takes it apart: contractions are two words; quotation marks
    stay as they are.

    Example:
        >>> sentence_tokenizer("They don't pay $1,000 to Smith's shop, do they?")
        ['They', 'do', "n't", 'pay', '$', '1,000', 'to', 'Smith', "'s", 'shop', ',', 'do', 'they', '?']
    """
    return _WORD.findall(_CONTRACTION.sub(r" \1", sentences))
