# hears: another class rose by
hurt_most = "Trouser"
