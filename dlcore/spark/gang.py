"""Tasks that stay: one barrier stage, whose tasks take the driver's orders over a connection of their own.

An order is what a Spark task does in a step (`steps.Order`), so the arithmetic and its result are the same; a step
costs a message to and fro instead of a job. When a task dies the stage ends, and the order is given to the tasks of
another one: what the steps before have made is in the slice store.
"""

from __future__ import annotations

import logging
import pickle
import socket
import struct
from collections.abc import Iterator
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from time import monotonic, sleep
from typing import Any, TypeAlias

from dlcore.errors import WorkerError
from dlcore.spark import steps
from dlcore.spark.dataset import SparkSource
from dlcore.spark.run import seat_of
from dlcore.spark.shared import Shared

logger = logging.getLogger(__name__)

TRIES = 4
"""How often an order is given, as often as Spark tries a task."""
LOOK_EVERY_S = 0.2
"""How often the driver looks whether the stage has ended, while it waits for its tasks."""
COME_S = 60
"""How long executors may take to come, at the start or after one was lost."""
STRANGER_S = 10
"""How long who connects may take to show the token."""
Driver: TypeAlias = "Connection[Any, Any]"


class GangBrokenError(Exception):
    """The stage has ended, or a task of it."""


class Gang:
    """The tasks of a training, one for each partition of `source`; they come with the first order.

    Raises:
        ValueError: Spark has fewer slots than there are partitions, on a cluster after COME_S seconds.
    """

    def __init__(self, source: SparkSource, shared: Shared, token: str) -> None:
        self._source, self._shared, self._key = source, shared, token.encode()
        self._context = source.rdd.ctx
        self._require_slots()
        self._members: dict[int, Driver] = {}
        self._stage: Any = None
        self._error: Exception | None = None

    def _require_slots(self) -> None:
        limit = monotonic() + (0 if self._context.master.startswith("local") else COME_S)
        while (slots := _slots(self._context)) < self._source.workers:
            if monotonic() >= limit:
                raise ValueError(
                    f"Optimizer: got {self._source.workers} partitions for a gang and {slots} slots of Spark's, "
                    "expected a slot for each; repartition the RDD, or train without set_gang"
                )
            sleep(LOOK_EVERY_S)

    def answers(self, order: steps.Order) -> list[steps.Answer]:
        """What all partitions answer to an order.

        Raises:
            WorkerError: the stage ended TRIES times.
        """
        for left in reversed(range(TRIES)):
            try:
                return self._asked(order)
            except GangBrokenError:
                self.dismiss()
                logger.warning("training on Spark lost its gang, %d tries left: %.500s", left, self._error)
        raise WorkerError(f"training on Spark failed: {self._error or 'its tasks ended'}") from self._error

    def _asked(self, order: steps.Order) -> list[steps.Answer]:
        if not self._members:
            self._gather()
        found: list[steps.Answer] = []
        try:
            packed = pickle.dumps(order)  # once: it names blocks of all partitions
            for member in self._members.values():
                member.send_bytes(packed)
            missing: list[Any] = list(self._members.values())
            while missing:
                self._require_stage()
                ready: list[Any] = wait(missing, LOOK_EVERY_S)
                found += [member.recv() for member in ready]
                missing = [member for member in missing if member not in ready]
        except (EOFError, OSError) as error:
            raise GangBrokenError from error
        return found

    def _gather(self) -> None:
        """Start the stage, and wait for its tasks."""
        from pyspark import InheritableThread

        host = self._context.getConf().get("spark.driver.host")
        with socket.create_server((self._context.getConf().get("spark.driver.bindAddress", host), 0)) as door:
            door.settimeout(LOOK_EVERY_S)
            task = partial(serve, self._shared, (host, door.getsockname()[1]))
            self._error, self._stage = None, InheritableThread(target=self._run, args=(task,), daemon=True)
            self._stage.start()
            while len(self._members) < self._source.workers:
                self._require_stage()
                try:
                    visitor, _ = door.accept()
                except TimeoutError:
                    continue
                self._welcome(visitor)

    def _run(self, task: Any) -> None:
        try:
            self._source.kept.barrier().mapPartitionsWithIndex(task).collect()
        except Exception as error:
            self._error = error

    def _welcome(self, visitor: socket.socket) -> None:
        """Take in a task, if it is one."""
        _answer_at_once(visitor)
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STRANGER_S, 0))
        member: Driver = Connection(visitor.detach())
        try:
            deliver_challenge(member, self._key)
            answer_challenge(member, self._key)
            partition = member.recv()
        except (AuthenticationError, EOFError, OSError):
            logger.warning("somebody without the training's token connected to the driver")
            member.close()
            return
        with socket.socket(fileno=socket.dup(member.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
        self._members[partition] = member

    def _require_stage(self) -> None:
        if not self._stage.is_alive():
            raise GangBrokenError

    def dismiss(self) -> None:
        """Let the tasks end; the next order calls others."""
        for member in self._members.values():
            member.close()
        self._members.clear()
        if self._stage is not None:
            self._stage.join()
            self._stage = None


def serve(shared: Shared, place: tuple[str, int], partition: int, kept: Iterator[Any]) -> Iterator[steps.Answer]:
    """A task of the stage: do the orders of the driver at `place` until it closes the connection."""
    (samples,) = (each.path for each in kept)
    seat = seat_of(shared)
    key = seat.run.sharing.token.encode()
    with socket.create_connection(place) as line:
        _answer_at_once(line)
        driver: Driver = Connection(line.detach())
    with driver:
        answer_challenge(driver, key)
        deliver_challenge(driver, key)
        driver.send(partition)
        while (order := _next(driver)) is not None:
            driver.send(order.done(seat, partition, samples))
    return iter(())


def _next(driver: Driver) -> steps.Order | None:
    try:
        found: steps.Order = driver.recv()
    except (EOFError, ConnectionError):
        return None
    return found


def _slots(context: Any) -> int:
    """How many tasks Spark runs at once, with the executors that it has."""
    scala = context._jsc.sc()
    return int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile()))


def _answer_at_once(line: socket.socket) -> None:
    """Do not gather small messages into larger ones."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
