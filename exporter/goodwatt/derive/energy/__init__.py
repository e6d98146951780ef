"""Energy: meter readings to accepted joules, joules to accounts, and their cost and carbon."""
