growth = "b (about 2)"
