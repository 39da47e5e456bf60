key = input("key? ")
