"""One's own pictures and videos: find faces, follow them, cut them as a model was trained, say AUs, or why not."""
