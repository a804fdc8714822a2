"""Readers of ELF, fatbin and wheel archives: pure functions on bytes."""
