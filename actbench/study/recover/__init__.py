"""Find the unstated settings that give published numbers to their printed digits."""
