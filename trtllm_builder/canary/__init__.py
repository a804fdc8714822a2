"""The small built-in upstream."""
