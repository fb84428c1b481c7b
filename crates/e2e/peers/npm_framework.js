// mesos-framework (npm) scheduler: v1 scheduler HTTP API, JSON.  Sends every unset field as an explicit null.
// Its parser needs: header Mesos-Stream-Id; exactly one whole RecordIO record per HTTP chunk (length line and JSON in one chunk,
// no newline inside the JSON); status 202 for every call; offer.url.address.ip; update.status.executor_id may be absent.
// A request without an Accept header.  Covers SUBSCRIBE, OFFERS, ACCEPT (ports from RANGES), DECLINE, UPDATE, ACKNOWLEDGE, KILL,
// RECONCILE, REVIVE, TEARDOWN.
'use strict';
process.noDeprecation = true;
const NAME = 'mesos-framework-npm';
const [host, port] = (process.env.MASTER || '127.0.0.1:5050').split(':');
const { Scheduler, Mesos } = require(process.env.PEERS + '/node/node_modules/mesos-framework');
const M = Mesos.getMesos();
const os = require('os'), fs = require('fs');
const logdir = fs.mkdtempSync(os.tmpdir() + '/peer-npm-');
function verdict(why) { process.stdout.write((why ? `FAIL ${NAME}: ${why}` : `PASS ${NAME}`) + '\n', () => process.exit(why ? 1 : 0)); }
const run = Math.random().toString(16).slice(2, 10);
const seen = { subscribed: false, offers: 0, states: {}, heartbeat: 0, accepted: 0, acked: 0 };
const cmd = c => new M.CommandInfo(null, null, true, c, null, null);
const res = { cpus: 0.1, mem: 32, ports: 1, disk: 0 };
const s = new Scheduler({
  masterUrl: host, port: port, frameworkName: 'peer-npm-' + run, frameworkFailoverTimeout: 1, user: 'root', masterConnectionTimeout: 40,
  logging: { path: logdir, fileName: 'log', level: 'warn' },
  restartStates: [],
  tasks: {
    ok: { priority: 1, instances: 1, commandInfo: cmd('echo $HOST $PORT0 hello'), resources: res },
    long: { priority: 2, instances: 1, commandInfo: cmd('sleep 1000'), resources: res }
  }
});
let asked = null;
s.on('ready', () => s.subscribe());
s.on('subscribed', o => { seen.subscribed = true; console.log('subscribed', o.frameworkId, o.mesosStreamId); });
s.on('offers', o => { seen.offers += o.offers.length; });
s.on('heartbeat', () => { seen.heartbeat++; });
s.on('sent_accept', () => { seen.accepted++; });
s.on('sent_acknowledge', () => { seen.acked++; });
s.on('error', e => verdict('client error: ' + (e && e.message || e) + ' ' + String(e && e.stack || '').slice(0, 300).replace(/\n/g, ' | ')));
s.on('update', u => {
  const st = u.status, n = st.task_id.value.split('.')[1].replace(/-1$/, '');
  console.log('update', n, st.state, st.reason || '', st.message || '');
  (seen.states[n] = seen.states[n] || []).push(st.state);
  if (n === 'long' && st.state === 'TASK_RUNNING' && !asked) { asked = true; s.reconcile(); s.kill(st.task_id.value, st.agent_id.value); }
});
process.on('uncaughtException', e => verdict('exception: ' + e.message));
const t0 = Date.now();
setInterval(() => {
  const ok = seen.states.ok || [], long = seen.states.long || [];
  if (seen.subscribed && seen.heartbeat && ok.includes('TASK_FINISHED') && ok.includes('TASK_RUNNING') && long.includes('TASK_KILLED') && seen.accepted && seen.acked >= 4) {
    s.removeAllListeners('error'); s.on('error', () => {});
    s.on('sent_teardown', () => verdict()); s.revive(); s.teardown();
    setTimeout(() => verdict('TEARDOWN not answered with 202'), 5000);
    clearInterval();
    seen.acked = -1e9;
  }
  if (Date.now() - t0 > 45000) verdict('not complete after 45s: ' + JSON.stringify(seen));
}, 200);
