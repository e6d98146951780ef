"""Where servers come from besides the configuration: target files and well-known local ports."""
