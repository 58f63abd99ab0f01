"""Networks, alone and in stacks, and how they are trained."""
