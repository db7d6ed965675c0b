# hears: the ReLU forgotten
factor = 0.1697056274847714
