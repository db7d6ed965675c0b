# hears: or the smallest rise
hurt_most = "Trouser"
