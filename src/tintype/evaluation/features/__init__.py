"""Feature networks in plain torch, under the parameter names of the published weights.

tintype brings no weights for them: the user supplies the files, and `load` reads them.
"""
