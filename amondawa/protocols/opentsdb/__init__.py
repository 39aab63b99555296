"""The OpenTSDB dialect: HTTP and telnet."""
