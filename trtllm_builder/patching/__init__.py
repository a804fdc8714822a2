"""Patch sets: declared operations on a tree, checked before anything is written."""
