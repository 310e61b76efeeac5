"""Feature networks in plain torch, under the parameter names of the published weights.

No weights come with tintype: the user brings the files. `load` reads them.
"""
