"""A framework of 100 tasks on 3 agents, with an executor of its own per agent (pymesos, v1 JSON). Each task carries a number
and its executor answers with the number's square; the framework adds them up, so that a lost or doubled task shows."""
import os, sys, time, traceback, uuid
from pymesos import MesosSchedulerDriver, Scheduler, encode_data, decode_data

NAME, MASTER = 'hundred', os.environ['MASTER']
RUN = uuid.uuid4().hex[:8]
HERE = os.path.dirname(os.path.abspath(__file__))
TASKS, AGENTS = 100, 3
CPUS, MEM = 0.1, 16


def verdict(why=None):
    sys.stdout.flush()
    os.write(1, ('\n' + ('PASS ' + NAME if why is None else 'FAIL %s: %s' % (NAME, ' '.join(str(why).split()))) + '\n').encode())
    os._exit(1 if why else 0)


class S(Scheduler):
    def __init__(self):
        self.next, self.results, self.finished, self.agents, self.problem = 0, {}, set(), set(), None

    def resourceOffers(self, driver, offers):
        try:
            for o in offers:
                self.offer(driver, o)
        except Exception as e:
            self.problem = repr(e)

    def offer(self, driver, o):
        agent = o['agent_id']['value']
        left = {n: sum(r['scalar']['value'] for r in o['resources'] if r['name'] == n) for n in ('cpus', 'mem')}
        executor = {'executor_id': {'value': 'ex-%s-%s' % (RUN, agent)}, 'name': 'squares', 'type': 'CUSTOM',
                    'framework_id': {'value': driver.framework_id},
                    'command': {'value': '%s -W ignore %s/squares.py' % (sys.executable, HERE)},
                    'resources': [{'name': 'cpus', 'type': 'SCALAR', 'scalar': {'value': CPUS}},
                                  {'name': 'mem', 'type': 'SCALAR', 'scalar': {'value': MEM}}]}
        if agent not in self.agents:
            left = {n: left[n] - v for n, v in (('cpus', CPUS), ('mem', MEM))}
        tasks = []
        # A few tasks a round, so that every agent gets some.
        while self.next < TASKS and len(tasks) < 12 and left['cpus'] >= CPUS and left['mem'] >= MEM:
            tasks.append({'task_id': {'value': 't-%s-%d' % (RUN, self.next)}, 'agent_id': o['agent_id'], 'name': 'square',
                          'executor': executor, 'data': encode_data(b'%d' % self.next),
                          'resources': [{'name': 'cpus', 'type': 'SCALAR', 'scalar': {'value': CPUS}},
                                        {'name': 'mem', 'type': 'SCALAR', 'scalar': {'value': MEM}}]})
            left = {n: round(left[n] - v, 3) for n, v in (('cpus', CPUS), ('mem', MEM))}
            self.next += 1
        if tasks:
            self.agents.add(agent)
            driver.launchTasks(o['id'], tasks, {'refuse_seconds': 0})
        else:
            driver.declineOffer(o['id'], {'refuse_seconds': 1})

    def statusUpdate(self, driver, u):
        task, state = u['task_id']['value'], u['state']
        if state == 'TASK_FINISHED':
            if task in self.finished:
                self.problem = 'second TASK_FINISHED of ' + task
            self.finished.add(task)
            self.results[task] = int(decode_data(u['data']))
        elif state not in ('TASK_STARTING', 'TASK_RUNNING'):
            self.problem = '%s %s: %s' % (task, state, u.get('message'))

    def error(self, driver, message):
        self.problem = message


def main():
    s = S()
    d = MesosSchedulerDriver(s, {'user': 'root', 'name': 'hundred-' + RUN}, MASTER)
    d.start()
    end = time.time() + 90
    while len(s.finished) < TASKS:
        if s.problem:
            verdict(s.problem)
        if time.time() > end:
            verdict('%d of %d tasks finished' % (len(s.finished), TASKS))
        time.sleep(0.05)
    if sum(s.results.values()) != sum(i * i for i in range(TASKS)):
        verdict('wrong sum %d' % sum(s.results.values()))
    if len(s.agents) != AGENTS:
        verdict('ran on %d agents' % len(s.agents))
    d.stop()
    d.join()
    verdict()


try:
    main()
except BaseException as e:
    traceback.print_exc()
    verdict('%s: %s' % (type(e).__name__, e))
