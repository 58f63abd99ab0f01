"""A record of one release, two of them compared, and many of them laid out over time."""
