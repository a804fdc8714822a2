"""The package index: what it holds, its pages, and the store that a web server shows."""
