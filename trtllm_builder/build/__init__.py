"""Stages that carry out a plan, the journal that remembers them, the child that runs them."""
