"""Builds of many profiles: what a CI and a cluster do every night, and what is told of it."""
