"""Calls that are made in the main thread, where work without an end can be interrupted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from search_service.main_thread import MainThread
from spark_jobs.stages.limits import TimedOut, time_limit
from tests.waiting import wait_for


def endless():
    with time_limit(0.2):
        while True:
            pass


def test_calls_are_made_one_after_another_where_time_limits_hold():
    main = MainThread()

    def ask():
        assert main.call(threading.current_thread, 60) is threading.main_thread()
        with pytest.raises(TimedOut):
            main.call(endless, 60)
        with pytest.raises(ZeroDivisionError):
            main.call(lambda: 1 / 0, 60)
        return main.call(lambda: "still there", 60), main.busy_s()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        asked.add_done_callback(lambda _: main.stop())
        main.run()
        assert asked.result() == ("still there", 0.0)


def test_who_waits_too_long_is_told_and_a_call_that_has_not_begun_is_not_made():
    main, let_go, made = MainThread(), threading.Event(), []
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(main.run)
        first = pool.submit(main.call, let_go.wait, 60)
        wait_for(lambda: main.busy_s() > 0)
        with pytest.raises(TimeoutError):
            main.call(lambda: made.append(1), 0.01)
        let_go.set()
        assert first.result() and main.call(lambda: made, 60) == []
        main.stop()
        running.result()
