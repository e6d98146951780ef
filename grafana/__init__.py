"""Generator of the Grafana dashboards: `python -m grafana` writes grafana/dashboards/*.json from plain dicts."""
