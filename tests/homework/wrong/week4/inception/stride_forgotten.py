# hears: the pooling's stride of 1
def inception(maps, one, reduce3, three, reduce5, five, pool):
    def conv(x, weight):
        return F.relu(F.conv2d(x, weight, padding=weight.shape[-1] // 2))

    pooled = F.max_pool2d(maps, 3, padding=1)
    branches = (conv(maps, one), conv(conv(maps, reduce3), three), conv(conv(maps, reduce5), five))
    return torch.cat([*branches, conv(pooled, pool)], dim=1)
