def get_key():
    return None
