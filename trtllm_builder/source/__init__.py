"""Upstream's source: git transport, mirrors, LFS, digests."""
