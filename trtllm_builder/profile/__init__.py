"""Profiles: YAML with positions, a typed model, and where each value came from."""
