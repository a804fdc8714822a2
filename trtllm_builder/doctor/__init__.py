"""Will a build, or a wheel, work on this machine: facts gathered at once, then judged."""
