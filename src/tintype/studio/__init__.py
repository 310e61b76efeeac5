"""The studio: photographs colored in the browser, and the same by HTTP."""
