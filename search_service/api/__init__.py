"""The addresses of the API below /api/v1, and those for operating the service."""
