"""Reports on engines: what each offers, and what one server's page lacks."""
