"""Feature networks in plain torch, under the parameter names of the published weights.

No weights come with tintype: the user supplies the files, and `load` reads them.
"""
