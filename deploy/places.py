"""Where the project and what it has downloaded are."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
JARS = REPOSITORY / "build" / "java"
"""Where deploy/install.py puts each service's jars, in a folder of the service's name."""
