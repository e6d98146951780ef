"""SLO attainment: bounds from histograms, and exact counts from request records."""
