"""Requests: orders about many files, planned in the background."""
