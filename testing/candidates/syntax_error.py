def do_key()
    return None
