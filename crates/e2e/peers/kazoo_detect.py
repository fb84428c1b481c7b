"""Discovery of the leader by third parties: kazoo reads what masters write into ZooKeeper, then pymesos is given zk:// only.
Needs ZK=host:port,host:port/path, with MASTER the leader there."""
import json, os, re, sys, time, traceback, uuid

NAME, MASTER, ZK = 'kazoo-detect', os.environ['MASTER'], os.environ.get('ZK')


def verdict(why=None):
    sys.stdout.flush()
    os.write(1, ('\n' + ('PASS ' + NAME if why is None else 'FAIL %s: %s' % (NAME, ' '.join(str(why).split()))) + '\n').encode())
    os._exit(1 if why else 0)


def need(c, why):
    if not c:
        verdict(why)


def wait(what, fn, secs):
    end = time.time() + secs
    while not fn():
        if time.time() > end:
            verdict('no %s within %ds' % (what, secs))
        time.sleep(0.1)


def main():
    need(ZK, 'ZK=host:port/path not given')
    from kazoo.client import KazooClient
    hosts, path = ZK.split('/', 1)
    z = KazooClient(hosts, timeout=5)
    z.start(timeout=30)
    kids = z.get_children('/' + path)
    infos = sorted(k for k in kids if re.match(r'json\.info_\d{10}$', k))
    need(infos, 'no json.info_NNNNNNNNNN child under /%s: %r' % (path, kids))
    need(all(re.match(r'(json\.info_\d{10}|log_replicas)$', k) for k in kids), 'unexpected children %r' % kids)
    data, stat = z.get('/%s/%s' % (path, infos[0]))
    need(stat.ephemeralOwner != 0, infos[0] + ' is not ephemeral')
    mi = json.loads(data.decode())
    print(infos[0], mi)
    host, port = MASTER.split(':')
    for k in ('id', 'ip', 'port', 'pid', 'hostname', 'address', 'version'):
        need(k in mi, 'MasterInfo lacks ' + k)
    need(mi['address']['ip'] == host and mi['address']['port'] == int(port) and mi['port'] == int(port), 'address %r' % mi['address'])
    need(mi['pid'] == 'master@' + MASTER, 'pid %r' % mi['pid'])
    o = [int(x) for x in host.split('.')]
    need(mi['ip'] == o[0] | o[1] << 8 | o[2] << 16 | o[3] << 24, 'ip %r is not the address in network byte order read little-endian' % mi['ip'])
    z.stop()

    import pymesos
    got = []

    class S(pymesos.Scheduler):
        def registered(self, d, fid, m): got.append((fid['value'], m))
        def resourceOffers(self, d, offers): [d.declineOffer(x['id']) for x in offers]
    d = pymesos.MesosSchedulerDriver(S(), {'user': 'root', 'name': 'peer-zk-' + uuid.uuid4().hex[:6]}, 'zk://' + ZK)
    d.start()
    wait('registration of pymesos through zk://', lambda: got, 30)
    print('pymesos through zk', got)
    d.stop()
    d.join()
    verdict()


try:
    main()
except BaseException as e:
    traceback.print_exc()
    verdict('%s: %s' % (type(e).__name__, e))
