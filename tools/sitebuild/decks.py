def deck(lecture):
    return "<!doctype html><title>x</title>"
