# hears: is no class of Fashion-MNIST
hurt_most = 9
