"""`python -m grafana`: write the dashboards that differ, and print their names."""

from grafana.files import write

if __name__ == "__main__":
    for name in write():
        print(f"written: grafana/dashboards/{name}")  # noqa: T201 - a command
