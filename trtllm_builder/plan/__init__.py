"""Profile, probe and host resolved into one plan, each value with its origin."""
