"""Networks whose weights their authors published; needs torch.

Each is built from a published state dict, ready for inference. None is trained here, but eccv16 is
a `tintype.models.cic.Cic`, whose training can go on.
"""
