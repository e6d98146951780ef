"""What every HTTP listener of goodwatt shares."""
