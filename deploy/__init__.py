"""Installing, starting and stopping the local stack and its containers; the demo and its report."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
