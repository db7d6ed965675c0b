def merge(first, second):
    return F.conv_transpose2d(second, first)
