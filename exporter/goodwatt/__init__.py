"""goodwatt: live tokens per watt, cost per token and goodput for LLM inference servers."""

__version__ = "0.1.0"
