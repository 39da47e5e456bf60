NAME = "Jörg"
