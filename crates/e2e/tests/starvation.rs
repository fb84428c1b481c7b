//! Who would starve on a live cluster: a large task beside small ones that come and go, and short tasks beside long ones.

use std::time::{Duration, Instant};

use e2e::{Cluster, Framework, Options, eventually};
use serde_json::{Value, json};

/// How often a small task makes room for the next; a third of that frees enough for a large one.
const ROUNDS: usize = 9;

/// One agent of four processors.
fn cluster(flags: &[&str]) -> Cluster {
    let options = Options {
        resources: "cpus:4;mem:128;disk:0".to_owned(),
        master_flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        ..Options::default()
    };
    Cluster::start(&options).expect("a cluster")
}

/// A framework that takes its offers one after the other, also those that came while it waited for something else.
struct Client {
    framework: Framework,
    /// How many of the events on its stream it looked at for offers.
    read: usize,
    /// How many ids it has given out.
    named: usize,
}

impl Client {
    fn new(cluster: &Cluster, role: &str) -> Self {
        let framework = Framework::in_role(cluster.master.address, &format!("{role} tasks"), role);
        Self { framework, read: 0, named: 0 }
    }

    /// The next offer that came or comes.
    fn offer(&mut self) -> Value {
        loop {
            let stream = &mut self.framework.stream;
            if self.read == stream.seen.len() {
                stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
            }
            let event = &stream.seen[self.read];
            self.read += 1;
            if event["type"] == "OFFERS" {
                let offers = event["offers"]["offers"].as_array().expect("a list");
                assert_eq!(offers.len(), 1, "there is one agent: {event}");
                return offers[0].clone();
            }
        }
    }

    /// The offers that have come until the master answers a question, beside those it took.
    fn more_offers(&mut self) -> Vec<(f64, f64)> {
        self.named += 1;
        let nobody = json!({"value": format!("nobody{}", self.named)});
        self.framework.call(json!({"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": nobody}]}}));
        let is_answer = |e: &Value| e["update"]["status"]["task_id"] == nobody;
        self.framework.stream.until("an answer", is_answer).expect("an answer");
        let later = self.framework.stream.seen.iter().skip(self.read);
        self.read = self.framework.stream.seen.len();
        later.flat_map(|e| e["offers"]["offers"].as_array()).flatten().map(size).collect()
    }

    /// Launches so many tasks of one processor on an offer, with these fields beside the usual, and returns their ids.
    fn launch(&mut self, offer: &Value, tasks: usize, more: &Value) -> Vec<String> {
        let ids: Vec<_> = (self.named..self.named + tasks).map(|at| format!("t{at}")).collect();
        self.named += tasks;
        let tasks: Vec<_> = ids.iter().map(|id| task(id, offer, more)).collect();
        let launch = json!([{"type": "LAUNCH", "launch": {"task_infos": tasks}}]);
        let accept =
            json!({"offer_ids": [offer["id"]], "operations": launch, "filters": {"refuse_seconds": 0}});
        self.framework.call(json!({"type": "ACCEPT", "accept": accept}));
        ids
    }

    /// The same, and waits until they run.
    fn run(&mut self, offer: &Value, tasks: usize) -> Vec<String> {
        let ids = self.launch(offer, tasks, &json!({}));
        for _ in &ids {
            self.framework.until_state("TASK_RUNNING");
        }
        ids
    }

    fn kill(&mut self, id: &str) {
        self.framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
        let status = self.framework.until_state("TASK_KILLED");
        assert_eq!(status["task_id"]["value"], id, "{status}");
    }

    fn decline(&self, offer: &Value) {
        let decline = json!({"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 1000}});
        self.framework.call(json!({"type": "DECLINE", "decline": decline}));
    }

    /// Waits until `mesos explain` names this reason why it has no offer of the agent; returns what it finds.
    fn until_explained(&self, cluster: &Cluster, reason: &str) -> Value {
        let id = self.framework.id["value"].as_str().expect("an id");
        eventually(reason, Duration::from_secs(10), || {
            let text = cluster.tool().verb("explain").prints(&["framework", id, "--json"]);
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            let finding = &answer["roles"][0]["classes"][0]["findings"][0];
            (finding["reason"] == reason).then(|| finding.clone())
        })
    }
}

fn task(id: &str, offer: &Value, more: &Value) -> Value {
    let mut task = json!({
        "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
        "command": {"value": "exec sleep 77031"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        task[name] = value.clone();
    }
    task
}

/// The processors and the memory of an offer.
fn size(offer: &Value) -> (f64, f64) {
    let of = |name: &str| -> f64 {
        let all = offer["resources"].as_array().into_iter().flatten().filter(|one| one["name"] == name);
        all.filter_map(|one| one["scalar"]["value"].as_f64()).sum()
    };
    (of("cpus"), of("mem"))
}

/// Small tasks fill the agent, and then comes one who needs three of its processors at once.
fn full(cluster: &Cluster) -> (Client, Vec<String>, Client) {
    let mut small = Client::new(cluster, "dev");
    let offer = small.offer();
    assert_eq!(size(&offer), (4.0, 128.0));
    let tasks = small.run(&offer, 4);
    (small, tasks, Client::new(cluster, "big"))
}

#[test]
fn a_large_task_starves_beside_small_ones_that_come_and_go() {
    let cluster = cluster(&[]);
    let (mut small, mut tasks, mut big) = full(&cluster);
    for round in 0..ROUNDS {
        small.kill(&tasks.remove(0));
        if round == 0 {
            // It has the least, so it comes first; but what can it do with that?
            let offer = big.offer();
            assert_eq!(size(&offer), (1.0, 32.0));
            big.decline(&offer);
        }
        let offer = small.offer();
        assert_eq!(size(&offer), (1.0, 32.0));
        tasks.extend(small.run(&offer, 1));
    }
    assert_eq!(big.more_offers(), []);
}

#[test]
fn what_small_tasks_leave_adds_up_for_a_large_one() {
    let cluster = cluster(&["--min_offer_size=big=cpus:3;mem:96", "--min_offer_hold=60secs"]);
    let (mut small, tasks, mut big) = full(&cluster);
    for (at, id) in tasks[..ROUNDS / 3].iter().enumerate() {
        small.kill(id);
        if at < 2 {
            let kept = small.until_explained(&cluster, "KEPT_FOR_LARGE_TASK");
            assert_eq!(kept["kept_for"][0]["framework"], big.framework.id["value"], "{kept}");
            assert_eq!(kept["kept_for"][0]["role"], "big", "{kept}");
            let left = kept["seconds_left"].as_f64().expect("a time");
            assert!(left > 30.0 && left <= 60.0, "{kept}");
            big.until_explained(&cluster, "ADDS_UP");
        }
    }
    let offer = big.offer();
    assert_eq!(size(&offer), (3.0, 96.0));
    big.run(&offer, 3);
    // Then others have their turn again.
    assert_eq!(small.more_offers(), []);
    small.kill(&tasks[3]);
    assert_eq!(size(&small.offer()), (1.0, 32.0));
    assert_eq!(big.more_offers(), []);
}

#[test]
fn nothing_is_kept_for_longer_than_the_hold() {
    let cluster = cluster(&["--min_offer_size=big=cpus:3;mem:96", "--min_offer_hold=2secs"]);
    let (mut small, tasks, mut big) = full(&cluster);
    let before = Instant::now();
    small.kill(&tasks[0]);
    let offer = small.offer();
    assert!(before.elapsed() >= Duration::from_secs(2), "it was kept for {:?}", before.elapsed());
    assert_eq!(size(&offer), (1.0, 32.0));
    assert_eq!(big.more_offers(), []);
}

#[test]
fn a_part_of_an_agent_is_for_short_tasks_alone() {
    let cluster = cluster(&["--short_task_share=50%", "--short_task_roles=quick=5secs"]);
    let mut slow = Client::new(&cluster, "slow");
    let offer = slow.offer();
    assert_eq!(size(&offer), (2.0, 64.0));
    let tasks = slow.run(&offer, 2);
    slow.until_explained(&cluster, "KEPT_FOR_SHORT_TASKS");

    let mut quick = Client::new(&cluster, "quick");
    let must = "Task of role 'quick' must have a 'max_completion_time' of at most 5 secs, but has ";
    for (time, has) in [
        (json!({}), "none"),
        (json!({"max_completion_time": {"nanoseconds": 5_500_000_000_u64}}), "5.5 secs"),
    ] {
        let offer = quick.offer();
        assert_eq!(size(&offer), (2.0, 64.0));
        quick.launch(&offer, 1, &time);
        let status = quick.framework.until_state("TASK_ERROR");
        assert_eq!(status["message"], format!("{must}{has}"), "{status}");
    }
    let offer = quick.offer();
    let time = json!({"max_completion_time": {"nanoseconds": 1_000_000_000}});
    assert_eq!(size(&offer), (2.0, 64.0));
    // It wants no more then.
    quick.framework.call(json!({"type": "SUPPRESS"}));
    quick.launch(&offer, 2, &time);
    for _ in 0..2 {
        let status = quick.framework.until_state("TASK_FAILED");
        assert_eq!(status["reason"], "REASON_MAX_COMPLETION_TIME_REACHED", "{status}");
    }

    // Nobody wants the kept half now, and still nobody else is offered it: of three free processors only one.
    slow.framework.call(json!({"type": "REVIVE"}));
    slow.until_explained(&cluster, "KEPT_FOR_SHORT_TASKS");
    assert_eq!(slow.more_offers(), []);
    slow.kill(&tasks[0]);
    assert_eq!(size(&slow.offer()), (1.0, 32.0));
}

#[test]
fn short_tasks_may_have_all_of_an_agent() {
    let cluster = cluster(&["--short_task_share=50%", "--short_task_roles=quick=5secs"]);
    let mut quick = Client::new(&cluster, "quick");
    let offer = quick.offer();
    assert_eq!(size(&offer), (4.0, 128.0));
    quick.decline(&offer);
    assert_eq!(size(&Client::new(&cluster, "slow").offer()), (2.0, 64.0));
}
