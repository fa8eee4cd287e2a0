"""Queries that come together are scanned together, each with its own answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dlcore.search.index import open_index
from search_service import scanner as scanner_module
from search_service.scanner import Scanner
from tests.search_service.serving import nearest_by_loop, publish_random
from tests.waiting import wait_for


@pytest.fixture
def index(tmp_path):
    """An index, and its items."""
    _, entries = publish_random(f"file://{tmp_path}/index", 4, 500)
    return open_index(f"file://{tmp_path}/index"), entries


class Held:
    """An index whose first search waits until it is let go."""

    def __init__(self, index):
        self.index, self.let_go, self.searches = index, threading.Event(), []

    def search(self, codes, k, where=None):
        self.searches.append(len(codes))
        self.let_go.wait()
        return self.index.search(codes, k, where)


def test_what_comes_during_a_scan_is_scanned_together(index):
    held, (_, entries), counted = Held(index[0]), index, []
    scanner = Scanner(counted.append)
    codes = [np.random.default_rng(seed).integers(0, 256, (1 + seed % 3, 16), np.uint8) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(scanner.search, held, codes[0], 5, None, 60)
        wait_for(lambda: held.searches)
        others = [
            pool.submit(scanner.search, held, given, 5 + number % 2, None, 60) for number, given in enumerate(codes[1:])
        ]
        wait_for(lambda: scanner._asked.qsize() == 11)
        held.let_go.set()
        found = [each.result() for each in (first, *others)]
    assert held.searches == counted == [1, sum(map(len, codes[1:]))]
    for number, (given, (positions, apart)) in enumerate(zip(codes, found, strict=True)):
        k = 5 if number == 0 else 5 + (number - 1) % 2
        for code, *row in zip(given, positions.tolist(), apart.tolist(), strict=True):
            assert list(zip(*row, strict=True)) == nearest_by_loop(entries, code.tobytes(), k)


def test_clients_that_ask_one_query_after_another_do_not_stay_in_two_halves(index, monkeypatch):
    """Three wait while the fourth is scanned. It asks again at once, and goes with the others."""
    monkeypatch.setattr(scanner_module, "PATIENCE", 1e9)  # however short the scan is, and however busy the machine
    monkeypatch.setattr(scanner_module, "PATIENCE_S", 60.0)
    held, (_, entries), scanner = Held(index[0]), index, Scanner()
    code = entries.codes[:1]
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(lambda: [scanner.search(held, code, 5, None, 60) for _ in range(2)])
        wait_for(lambda: held.searches)
        others = [pool.submit(scanner.search, held, code, 5, None, 60) for _ in range(3)]
        wait_for(lambda: scanner._asked.qsize() == 3)
        held.let_go.set()
        for each in (first, *others):
            each.result()
    assert held.searches == [1, 4]


def test_other_filters_and_much_larger_numbers_are_scanned_apart(index):
    opened, entries = index
    held, scanner = Held(opened), Scanner()
    code = entries.codes[:1]
    asked = [(5, None), (5, {"label": ["mug"]}), (400, None), (5, {"label": ["mug"]})]
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(scanner.search, held, code, 1, None, 60)
        wait_for(lambda: held.searches)
        others = [pool.submit(scanner.search, held, code, k, where, 60) for k, where in asked]
        wait_for(lambda: scanner._asked.qsize() == 4)
        held.let_go.set()
        first.result()
        found = [each.result() for each in others]
    assert sorted(held.searches) == [1, 1, 1, 2]
    for (k, where), (positions, _) in zip(asked, found, strict=True):
        assert positions.tolist() == opened.search(code, k, where)[0].tolist()


def test_a_search_that_fails_is_told_to_its_askers_and_one_that_takes_too_long_is_given_up(index):
    opened, entries = index
    scanner = Scanner()
    with pytest.raises(ValueError, match="filters"):
        scanner.search(opened, entries.codes[:1], 5, {"colour": ["red"]}, 60)
    held = Held(opened)
    with pytest.raises(TimeoutError):
        scanner.search(held, entries.codes[:1], 5, None, 0.01)
    held.let_go.set()
    assert scanner.search(opened, entries.codes[:1], 1, None, 60)[1].tolist() == [[0]]
