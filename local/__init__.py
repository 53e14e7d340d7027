"""What runs on the laptop only."""
