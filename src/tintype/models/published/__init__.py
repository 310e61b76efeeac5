"""Networks whose weights their authors published; needs torch.

Each is built from a published state dict, for inference. They have no loss, except that eccv16 is a
`tintype.models.cic.Cic`, from which training can go on.
"""
