"""Upstream: what a checkout offers (probe), what a release is known to need (catalogue), what GPU code it makes."""
