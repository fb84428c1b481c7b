"""Writes the logs beside this file, with LevelDB's own library (PyPI: plyvel) and an svndiff that others wrote (PyPI:
subvertpy): nothing of ours has a hand in them. Messages are put together by hand from the .proto files of Apache Mesos.

    python3 make.py        # replaces tables/, diffs/, old/, empty/, hole/ and unlearned/
"""
import os
import shutil
import struct

import plyvel
from subvertpy import delta

HERE = os.path.dirname(os.path.abspath(__file__))


def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def num(field, n):
    return varint(field << 3) + varint(n)


def raw(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def agent(n):
    info = raw(1, 'host-%04d.example' % n) + raw(6, raw(1, 'aaaa-S%d' % n)) + num(8, 5051)
    return raw(1, raw(1, info))


def registry(agents, weight):
    master = raw(1, raw(1, 'm1') + num(2, 16777343) + num(3, 5050))
    weights = raw(6, raw(1, varint(1 << 3 | 1) + struct.pack('<d', weight) + raw(2, 'dev')))
    return raw(1, master) + raw(2, b''.join(agent(n) for n in range(agents))) + weights


def entry(value, n):
    return raw(1, raw(1, 'registry') + raw(2, bytes(15) + bytes([n])) + raw(3, value))


def snapshot(value, n):
    return num(1, 1) + raw(2, entry(value, n))


def diff(old, new, n):
    return num(1, 3) + raw(4, entry(delta.pack_svndiff0(windows(old, new)), n))


def windows(old, new):
    """What they have in common at either end is copied, the rest is new."""
    a = len(os.path.commonprefix([old, new]))
    b = len(os.path.commonprefix([old[a:][::-1], new[a:][::-1]]))
    middle = new[a:len(new) - b]
    ops = [(delta.TXDELTA_SOURCE, 0, a), (delta.TXDELTA_NEW, 0, len(middle)), (delta.TXDELTA_SOURCE, len(old) - b, b)]
    ops = [op for op in ops if op[2]]
    yield (0, len(old), len(new), 0, ops, middle)


def key(position):
    n = position + 1
    return b'%010d' % n if n <= 9999999999 else b'A%020d' % n


def action(position, kind, body=b'', learned=True):
    data = num(1, position) + num(2, 1) + num(3, 1) + (num(4, 1) if learned else b'') + num(5, kind) + body
    return key(position), num(1, 2) + raw(3, data)


def append(position, data, learned=True):
    return action(position, 2, raw(7, raw(1, data)), learned)


def nop(position):
    return action(position, 1, raw(6, b''))


def truncate(position, to):
    return action(position, 3, raw(8, num(1, to)))


def metadata(status):
    return b'0000000000', num(1, 3) + raw(4, num(1, status) + num(2, 1))


def log(name, *rounds):
    path = os.path.join(HERE, name)
    shutil.rmtree(path, ignore_errors=True)
    for n, (compact, records) in enumerate(rounds):
        db = plyvel.DB(path, create_if_missing=n == 0)
        for k, v in records:
            if v is None:
                db.delete(k, sync=True)
            else:
                db.put(k, v, sync=True)
        if compact:
            db.compact_range()
        db.close()
    for junk in ('LOG', 'LOG.old', 'LOCK'):
        try:
            os.remove(os.path.join(path, junk))
        except FileNotFoundError:
            pass


def main():
    gone = [(key(p), None) for p in range(0, 30)]
    log('tables',
        (True, [metadata(1), nop(0)] + [append(p, snapshot(registry(p, 1.5), p)) for p in range(1, 31)]),
        (True, [truncate(31, 30)] + gone + [append(p, snapshot(registry(60, p), p)) for p in range(32, 40)]),
        (False, [truncate(40, 39), append(41, snapshot(registry(60, 2.5), 41))]
         # One that is longer than a block of the log.
         + [append(42, snapshot(registry(1200, 2.5), 42)), append(43, snapshot(registry(40, 3.5), 43))]))
    one, two, three = registry(20, 1.5), registry(30, 1.5), registry(30, 7.5)
    log('diffs', (False, [metadata(1), nop(0), append(1, snapshot(one, 1)), append(2, diff(one, two, 2)),
                          append(3, diff(two, three, 3)), truncate(4, 1)]))
    log('old', (False, [(b'0000000000', num(1, 1) + raw(2, num(1, 5))), truncate(9999999998, 9999999998),
                        append(9999999999, snapshot(registry(2, 1.5), 1)),
                        append(10000000000, snapshot(registry(3, 4.5), 2))]))
    log('empty', (False, [metadata(4)]))
    log('hole', (False, [metadata(1), nop(0), append(1, snapshot(one, 1)), nop(3)]))
    log('unlearned', (False, [metadata(1), nop(0), append(1, snapshot(one, 1)), append(2, snapshot(two, 2), False)]))


main()
