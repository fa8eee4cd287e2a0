"""Which addresses processes listen on, as the kernel says (/proc/net/tcp and tcp6, told apart by socket inode)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

_LISTEN = "0A"


def listening_addresses(pids: Iterable[int]) -> set[tuple[str, int]]:
    """The (address, port) pairs on which the processes listen; IPv4 addresses inside IPv6 ones are given as IPv4."""
    inodes = {inode for pid in pids for inode in _socket_inodes(pid)}
    return {address for inode, address in _listening_sockets() if inode in inodes}


def _socket_inodes(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = os.readlink(descriptor)
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _listening_sockets() -> Iterator[tuple[str, tuple[str, int]]]:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN:
                yield fields[9], _address(fields[1])


def _address(text: str) -> tuple[str, int]:
    """The kernel writes addresses as 32-bit words of this machine's byte order, in hexadecimal."""
    address, port = text.split(":")
    words = (address[i : i + 8] for i in range(0, len(address), 8))
    parsed = ip_address(b"".join(bytes.fromhex(word)[::-1] for word in words))
    inner = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(inner or parsed), int(port, 16)
