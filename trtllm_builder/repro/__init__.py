"""Deterministic wheels."""
