exit("usage: client.py PORT")
