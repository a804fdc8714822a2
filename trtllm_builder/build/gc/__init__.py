"""Finds what our builds left on the disks, measures it, and removes what is chosen and surely ours."""
