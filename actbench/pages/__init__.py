"""Pages that need nothing else, and the pictures in them that need no drawing library."""
