def grouped_conv(images, weight, groups, padding=0):
    parts = [F.conv2d(m, k, padding=padding) for m, k in zip(images.chunk(groups, 1), weight.chunk(groups))]
    output = torch.empty(len(images), len(weight), *parts[0].shape[2:])
    for g, part in enumerate(parts):
        output[:, g * part.shape[1] : (g + 1) * part.shape[1]] = part
    return output
