// Headers that upstream packs for its run-time compiler; the canary packs this line.
