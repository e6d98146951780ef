"""Files in Prometheus's file_sd format that list servers."""
