import right


class Client:
    def do_key(self):
        return right.do_key()


def do_put(key_val, user_id):
    return right.do_put(key_val)
