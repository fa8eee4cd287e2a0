"""A program that owns a stack, for the test that kills it: starts HBase, says so, waits to be interrupted."""

from __future__ import annotations

from deploy.services import interruptible, running
from deploy.stack import Stack
from tests.waiting import wait_for_a_signal

if __name__ == "__main__":
    interruptible()
    with running(Stack.from_environment(), ("hbase",)):
        print("running", flush=True)
        wait_for_a_signal()
