"""Build tools and CUDA toolkits: found on the machine or installed from hashed locks."""
