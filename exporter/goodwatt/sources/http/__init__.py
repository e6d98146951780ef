"""HTTP client parts that several sources share: fetch, credentials, error messages."""
