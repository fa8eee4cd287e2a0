"""Start the search service: `python -m search_service`, with the variables that `options` names."""

from __future__ import annotations

from search_service.server import main

if __name__ == "__main__":
    main()
