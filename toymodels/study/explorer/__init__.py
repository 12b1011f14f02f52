"""The explorer: a result as one page that a browser opens without a network and without a server."""
