# hears: zeros around the maps before max pooling
def inception(maps, one, reduce3, three, reduce5, five, pool):
    def conv(x, weight):
        return F.relu(F.conv2d(x, weight, padding=weight.shape[-1] // 2))

    pooled = F.max_pool2d(F.pad(maps, (1, 1, 1, 1)), 3, stride=1)
    return torch.cat([conv(maps, one), conv(conv(maps, reduce3), three), conv(conv(maps, reduce5), five), conv(pooled, pool)], 1)
