"""The studio: a web page on which photographs are colored, and an HTTP API that does the same."""
