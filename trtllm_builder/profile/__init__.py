"""YAML profiles: marked scalars, model, search path, merging."""
