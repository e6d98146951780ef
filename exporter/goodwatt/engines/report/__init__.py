"""Reports for people: what each engine offers, and what one server's page lacks."""
