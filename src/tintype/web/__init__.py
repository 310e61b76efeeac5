"""What every server of tintype needs before its pages: a listener, deadlines, limits and checks."""
