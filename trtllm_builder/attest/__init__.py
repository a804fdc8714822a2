"""What is said about a wheel and who says it: in-toto statements, DSSE envelopes, Ed25519 keys."""
