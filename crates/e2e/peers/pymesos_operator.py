"""pymesos operator drivers.  NOTE pymesos posts to /api/v1/operator: real Mesos serves it because libprocess shortens an
unknown nested path until a handler matches (/api/v1).  Covers the read calls of master and agent, SUBSCRIBE event stream,
logging level, dynamic reservation; with WRITES=1 also weights, quota, maintenance."""
import os, sys, time, threading, traceback, uuid
from pymesos import MesosOperatorMasterDriver, MesosOperatorAgentDriver, OperatorMaster

NAME, MASTER = 'pymesos-operator', os.environ['MASTER']
ROLE = 'peercheck'
WRITES = os.environ.get('WRITES') == '1'         # weights, quota, maintenance


def verdict(why=None):
    sys.stdout.flush()
    os.write(1, ('\n' + ('PASS ' + NAME if why is None else 'FAIL %s: %s' % (NAME, ' '.join(str(why).split()))) + '\n').encode())   # one write: other threads may log
    os._exit(1 if why else 0)


def need(cond, why):
    if not cond:
        verdict(why)


class Op(OperatorMaster):
    def __getattr__(self, n):
        raise AttributeError(n)

    def taskAdded(self, x): print('event task_added')
    def taskUpdated(self, x): print('event task_updated')
    def frameworkAdded(self, x): print('event framework_added')
    def frameworkUpdated(self, x): print('event framework_updated')
    def frameworkRemoved(self, x): print('event framework_removed')
    def agentAdded(self, x): print('event agent_added')
    def agentRemoved(self, x): print('event agent_removed')


def main():
    m = MesosOperatorMasterDriver(MASTER, Op())
    subscribed = []
    m.on_subscribed = lambda info: subscribed.append(info)
    m.start()
    end = time.time() + 10
    while not subscribed and time.time() < end:
        time.sleep(0.1)
    need(subscribed and 'get_state' in subscribed[0], 'no SUBSCRIBED event with get_state: %r' % subscribed)

    q = MesosOperatorMasterDriver(MASTER)          # a second driver for plain calls
    expect = {
        'getHealth': ('GET_HEALTH', 'get_health', lambda b: b['healthy'] is True),
        'getFlags': ('GET_FLAGS', 'get_flags', lambda b: any(f['name'] == 'port' for f in b['flags'])),
        'getVersion': ('GET_VERSION', 'get_version', lambda b: b['version_info']['version']),
        'getLoggingLevel': ('GET_LOGGING_LEVEL', 'get_logging_level', lambda b: b['level'] >= 0),
        'getState': ('GET_STATE', 'get_state', lambda b: 'get_agents' in b and 'get_frameworks' in b),
        'getFrameworks': ('GET_FRAMEWORKS', 'get_frameworks', lambda b: True),
        'getExecutors': ('GET_EXECUTORS', 'get_executors', lambda b: True),
        'getTasks': ('GET_TASKS', 'get_tasks', lambda b: True),
        'getAgents': ('GET_AGENTS', 'get_agents', lambda b: True),
        'getRoles': ('GET_ROLES', 'get_roles', lambda b: True),
        'getWeights': ('GET_WEIGHTS', 'get_weights', lambda b: True),
        'getMaster': ('GET_MASTER', 'get_master', lambda b: b['master_info']['address']['port']),
        'getMaintenanceStatus': ('GET_MAINTENANCE_STATUS', 'get_maintenance_status', lambda b: True),
        'getMaintenanceSchedule': ('GET_MAINTENANCE_SCHEDULE', 'get_maintenance_schedule', lambda b: True),
        'getQuota': ('GET_QUOTA', 'get_quota', lambda b: True),
    }
    for fn, (typ, key, ok) in expect.items():
        r = getattr(q, fn)()
        need(r.get('type') == typ, '%s: type %r' % (fn, r.get('type')))
        need(key in r or key in ('get_weights',), '%s: no %r in %r' % (fn, key, r))
        need(ok(r.get(key, {})), '%s: unexpected %r' % (fn, r))
        print('ok', fn)
    r = q.getMetrics(2000000000)
    names = {x['name'] for x in r['get_metrics']['metrics']}
    need('master/elected' in names and 'master/uptime_secs' in names, 'metrics lack master/elected')
    q.setLoggingLevel(1, 1000000000)
    if WRITES:
        q.updateWeights([{'role': ROLE, 'weight': 2.5}])
        w = q.getWeights()['get_weights']['weight_infos']
        need({'role': ROLE, 'weight': 2.5} in w, 'weights %r' % w)
        q.setQuota({'role': ROLE, 'force': True,
                    'guarantee': [{'name': 'cpus', 'type': 'SCALAR', 'scalar': {'value': 0.1}}]})
        infos = q.getQuota()['get_quota']['status'].get('infos', [])
        need(any(i['role'] == ROLE for i in infos), 'quota not listed: %r' % infos)
        q.removeQuota(ROLE)
        need(not any(i['role'] == ROLE for i in q.getQuota()['get_quota'].get('status', {}).get('infos', [])), 'quota still there')
        q.updateMaintenanceSchedule([{'machine_ids': [{'hostname': 'peer-nowhere', 'ip': '192.0.2.1'}],
                                      'unavailability': {'start': {'nanoseconds': 1900000000000000000}}}])
        sch = q.getMaintenanceSchedule()['get_maintenance_schedule']['schedule']
        need(sch['windows'][0]['machine_ids'][0]['hostname'] == 'peer-nowhere', 'schedule %r' % sch)
        st = q.getMaintenanceStatus()['get_maintenance_status']['status']
        need(st['draining_machines'][0]['id']['hostname'] == 'peer-nowhere', 'status %r' % st)
        q.updateMaintenanceSchedule([])
    try:
        q.listFiles('/no/such/path')
        verdict('LIST_FILES of an unknown path did not fail')
    except RuntimeError as e:
        need('code=404' in str(e), 'LIST_FILES unknown path: %s' % e)

    agents = q.getAgents()['get_agents'].get('agents', [])
    if not agents:
        print('no agents registered: agent part skipped')
    else:
        a = agents[0]
        ai = a['agent_info']
        need(a['active'] is True and a['pid'].startswith('slave('), 'agent %r' % {k: a.get(k) for k in ('active', 'pid')})
        aid = ai['id']['value']
        res = [{'name': 'cpus', 'type': 'SCALAR', 'scalar': {'value': 0.1},
                'reservations': [{'type': 'DYNAMIC', 'role': ROLE}]}]
        q.reserveResources(aid, res)
        q.unreserveResources(aid, res)
        print('ok reserve/unreserve')
        g = MesosOperatorAgentDriver('%s:%d' % (a['pid'].split('@')[1].split(':')[0], int(a['pid'].rsplit(':', 1)[1])))
        need(g.getHealth()['get_health']['healthy'] is True, 'agent health')
        need(g.getVersion()['type'] == 'GET_VERSION', 'agent version')
        need(any(f['name'] == 'work_dir' for f in g.getFlags()['get_flags']['flags']), 'agent flags')
        need('get_state' in g.getState(), 'agent state')
        need(g.getFrameworks()['type'] == 'GET_FRAMEWORKS' and g.getExecutors()['type'] == 'GET_EXECUTORS' and g.getTasks()['type'] == 'GET_TASKS', 'agent lists')
        need(g.getContainers()['type'] == 'GET_CONTAINERS', 'agent containers')
        need(any(x['name'] == 'slave/registered' for x in g.getMetrics(2000000000)['get_metrics']['metrics']), 'agent metrics')
        print('ok agent calls')
    m.stop()
    verdict()


try:
    main()
except BaseException as e:
    traceback.print_exc()
    verdict('%s: %s' % (type(e).__name__, e))
