from right import do_put, exchange


def do_key():
    return exchange("KEY", "/user/Ada/")[1]
