"""The operator's YAML as strict, frozen sections; every problem in it is reported at once, by file and line."""
