"""Runs on the agent; only pymesos' MesosExecutorDriver. Answers each task with the square of its number."""
from pymesos import Executor, MesosExecutorDriver, encode_data, decode_data


class E(Executor):
    def launchTask(self, driver, task):
        number = int(decode_data(task['data']))
        driver.sendStatusUpdate({'task_id': task['task_id'], 'state': 'TASK_RUNNING'})
        driver.sendStatusUpdate({'task_id': task['task_id'], 'state': 'TASK_FINISHED', 'data': encode_data(b'%d' % (number * number))})


MesosExecutorDriver(E()).run()
