"""What this machine offers: CPU, memory, disk, GPU, interpreters."""
