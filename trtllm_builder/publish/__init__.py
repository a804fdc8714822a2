"""Publishing: what may go into an index, into which, and what may leave it again."""
