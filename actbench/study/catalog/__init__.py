"""What networks are made of and taught: activations, initializers, targets."""
