# hears: the padding too small
def merge(first, second):
    return F.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=second.shape[-1] // 2).transpose(0, 1)
