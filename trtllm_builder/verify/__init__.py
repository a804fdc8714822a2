"""Audit of a built wheel and its smoke test."""
