"""Fixtures for all: PostgreSQL (tests/postgres.py) and a whole server on a real socket (tests/server.py)."""

from tests.postgres import database, dsn, postgres
from tests.server import server

__all__ = ["database", "dsn", "postgres", "server"]
