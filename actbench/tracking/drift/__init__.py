"""What changed between two records: claims that flipped, numbers that drifted, speed."""
