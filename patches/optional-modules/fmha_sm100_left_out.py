"""In the place of MSA's attention kernels, which this wheel was built without."""

raise ImportError("this wheel was built without MSA's kernels for sm_100 and sm_103 (BUILD_MSA=OFF)")
