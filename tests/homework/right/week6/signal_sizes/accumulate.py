def signal_sizes(x, functions, skip):
    from itertools import accumulate

    signals = accumulate(functions, lambda value, f: f(value) + skip * value, initial=x)
    return [signal.pow(2).mean().item() for signal in signals][1:]
