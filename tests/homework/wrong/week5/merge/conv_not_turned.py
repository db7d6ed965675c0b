# hears: one kernel laid on the other without turning it
def merge(first, second):
    p = second.shape[-1] - 1
    return F.conv2d(first.transpose(0, 1), second, padding=p).transpose(0, 1)
