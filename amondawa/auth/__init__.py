"""Who may do what: access keys, permissions, signatures, limits and hashed tags of domains. No web framework here."""
