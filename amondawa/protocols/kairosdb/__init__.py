"""The KairosDB dialect: REST and telnet."""
