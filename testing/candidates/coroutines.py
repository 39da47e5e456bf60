import right


async def do_key():
    return right.do_key()


async def do_put(key_val):
    return right.do_put(key_val)
