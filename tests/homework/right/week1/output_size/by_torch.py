def output_size(size, kernel_size, stride=1, padding=0):
    try:
        return F.conv1d(
            torch.zeros(1, 1, size), torch.zeros(1, 1, kernel_size), stride=stride, padding=padding
        ).shape[2]
    except RuntimeError:
        raise ValueError("the kernel does not fit") from None
