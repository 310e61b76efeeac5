"""Networks whose weights their authors published, written from their papers; needs torch.

Each is built from a state dict as it was published, ready for inference. None is trained here;
eccv16 alone is a `tintype.models.cic.Cic`, which can be.
"""
