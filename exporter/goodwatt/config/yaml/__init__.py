"""YAML text to plain values with line numbers, and messages for syntax errors."""
