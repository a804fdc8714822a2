"""Why a build stopped, in a sentence: from its log and from what was measured around it."""
