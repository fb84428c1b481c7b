"""A pymesos framework that finds its master through ZooKeeper (ZK=zk://..), runs one task and keeps it while leaders come and go.
It prints a line for each thing that happens and does what it is told by lines on its standard input:
`reconcile` asks for the task's state, `stop` kills the task and ends the framework."""
import sys, threading
from pymesos import MesosSchedulerDriver, Scheduler
import os


def say(*words):
    print(*words, flush=True)


class S(Scheduler):
    launched = None

    def registered(self, driver, framework_id, master_info):
        say('registered', framework_id['value'], '%s:%s' % (master_info['hostname'], master_info['port']))

    def reregistered(self, driver, master_info):
        say('reregistered', '%s:%s' % (master_info['hostname'], master_info['port']))

    def disconnected(self, driver):
        say('disconnected')

    def error(self, driver, message):
        say('error', message)

    def resourceOffers(self, driver, offers):
        for offer in offers:
            if self.launched:
                driver.declineOffer(offer['id'], {'refuse_seconds': 3600})
                continue
            self.launched = offer['agent_id']
            driver.launchTasks(offer['id'], [{
                'name': 'keep', 'task_id': {'value': 'keep'}, 'agent_id': offer['agent_id'],
                'command': {'value': 'sleep 71236'},
                'resources': [{'name': n, 'type': 'SCALAR', 'scalar': {'value': v}} for n, v in (('cpus', 0.1), ('mem', 32))],
            }])

    def statusUpdate(self, driver, update):
        say('update', update['state'], update.get('reason', '-'))


scheduler = S()
driver = MesosSchedulerDriver(scheduler, {
    'user': 'root', 'name': 'failover', 'failover_timeout': 3600, 'checkpoint': True,
    'capabilities': [{'type': 'PARTITION_AWARE'}],
}, os.environ['ZK'])
driver.start()
for line in sys.stdin:
    if line.strip() == 'reconcile':
        driver.reconcileTasks([{'task_id': {'value': 'keep'}, 'agent_id': scheduler.launched}])
    elif line.strip() == 'kill':
        driver.killTask({'value': 'keep'})
    elif line.strip() == 'stop':
        break
driver.stop()
driver.join()
say('stopped')
