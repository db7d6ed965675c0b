# hears: the highest error read instead of the highest rise
hurt_most = "Shirt"
