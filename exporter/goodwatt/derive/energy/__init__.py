"""Energy: from meter readings to attributed joules, cost and carbon."""
