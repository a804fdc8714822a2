"""Memory-aware admission of compilers: every core busy, none killed."""
