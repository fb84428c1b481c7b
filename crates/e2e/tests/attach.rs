//! Terminals, sessions and attachments through master and agent: `mesos task exec -it`, `mesos task attach`, the calls
//! behind them, and what a kill -9 of the agent leaves of them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{
    Answer, Cluster, Options, Pod, Pty, Stream, eventually, has_process, helpers_of, operate, processes_of,
    request, request_raw,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn terminal() -> Value {
    json!({"type": "MESOS", "tty_info": {}})
}

fn plain() -> Value {
    json!({"type": "MESOS"})
}

/// `number` begins the lengths of its sleeps, which tell its processes apart.
fn a_shell_in_a_pod(number: u32, agent_flags: &[String]) {
    let (interrupted, left_alone) = (format!("sleep {number}2"), format!("{number}3"));
    let sleeps = format!("sleep {left_alone}");
    let pod = Pod::run(agent_flags, &[("a", &format!("exec sleep {number}1"), plain())]);
    let mut shell =
        Pty::start(&pod.tool(&["task", "exec", "-it", "a", "/bin/sh"]), 33, 99).expect("a terminal");
    let before = shell.settings();
    shell.press("tty\n");
    shell.until("/dev/pts/");
    shell.press("stty size\n");
    shell.until("33 99");
    // It takes part in the task: its sandbox, its environment.
    shell.press("echo in-$(basename $PWD)-$(basename $MESOS_SANDBOX).\n");
    let container = pod.container("a")["value"].as_str().expect("an id").to_owned();
    shell.until(&format!("in-{container}-{container}."));
    shell.resize(44, 111);
    eventually("the window's new size is known", PATIENCE, || {
        shell.press("stty size\n");
        std::thread::sleep(Duration::from_millis(50));
        shell.shown().contains("44 111").then_some(())
    });
    // Ctrl-C is for what runs in front, not for the shell, and not for the tool.
    shell.press(&format!("{interrupted}\n"));
    eventually("it sleeps", PATIENCE, || has_process(&interrupted).then_some(()));
    shell.press("\u{3}");
    eventually("it does not sleep any more", PATIENCE, || (!has_process(&interrupted)).then_some(()));
    shell.press("echo alive-$((40 + 2)).\n");
    shell.until("alive-42.");
    assert_ne!(shell.settings().local_modes, before.local_modes, "the terminal is in raw mode meanwhile");
    shell.press("exit 7\n");
    assert_eq!(shell.ended().code(), Some(7), "{}", shell.shown());
    assert_eq!(shell.settings().local_modes, before.local_modes, "the terminal is what it was");
    // One that is left by its keys ends.
    let mut left = Pty::start(&pod.tool(&["task", "exec", "-it", "a", "sleep", &left_alone]), 24, 80)
        .expect("a terminal");
    eventually("it sleeps", PATIENCE, || has_process(&sleeps).then_some(()));
    left.press("\u{10}\u{11}");
    assert_eq!(left.ended().code(), Some(0), "{}", left.shown());
    eventually("it ended with its caller", PATIENCE, || (!has_process(&sleeps)).then_some(()));
    assert!(helpers_of(pod.cluster.home.path()).is_empty(), "nobody asked for a helper");
    pod.end();
}

#[test]
fn a_shell_in_a_pod_has_a_terminal() {
    a_shell_in_a_pod(7610, &[]);
}

#[test]
fn root_a_shell_in_a_pod_in_namespaces_has_a_terminal() {
    let freezer = Path::new("/sys/fs/cgroup/freezer/cgroup.procs");
    if !rustix::process::geteuid().is_root() || !freezer.exists() {
        eprintln!("SKIPPED: this needs root and cgroups of version 1");
        return;
    }
    let root = format!("mesos-e2e-{}-attach", std::process::id());
    let flags = [
        "--launcher=linux".to_owned(),
        format!("--cgroups_root={root}"),
        "--isolation=filesystem/linux,namespaces/pid,cgroups/cpu".to_owned(),
    ];
    a_shell_in_a_pod(7611, &flags);
    for controller in ["freezer", "cpu", "cpuacct"] {
        let path = Path::new("/sys/fs/cgroup").join(controller).join(&root);
        let left =
            || fs::read_dir(&path).into_iter().flatten().flatten().filter(|it| it.path().is_dir()).count();
        eventually("all cgroups are gone", PATIENCE, || (left() == 0).then_some(()));
        let _ = fs::remove_dir(&path);
    }
}

#[test]
fn a_command_in_a_task_reads_what_is_piped_in() {
    let pod = Pod::run(&[], &[("a", "exec sleep 76104", plain())]);
    let run = |arguments: &[&str], input: &[u8]| {
        let mut child =
            pod.tool(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("all is written");
        output
    };
    // More than any queue on the way holds.
    let big = vec![b'x'; 3 << 20];
    let output = run(&["task", "exec", "-i", "a", "sh", "-c", "wc -c; exit 3"], &big);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), (3 << 20).to_string());
    assert_eq!(output.status.code(), Some(3));
    let output = run(&["task", "exec", "-i", "a", "cat"], &big);
    assert!(output.stdout == big, "{} bytes came back", output.stdout.len());
    // One that may not read finds the end of its input.
    let output = run(&["task", "exec", "a", "sh", "-c", "cat; echo end"], b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end\n");
    // A terminal is for people at one.
    let output =
        pod.tool(&["task", "exec", "-it", "a", "sh"]).stdin(Stdio::null()).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Must be running in a tty"), "{output:?}");
    let output = pod.tool(&["task", "attach", "--no-stdin", "a"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("Unable to attach to a task launched without a TTY"), "{text}");
    pod.end();
}

const RECORDIO: [(&str, &str); 3] = [
    ("Content-Type", "application/recordio"),
    ("Message-Content-Type", "application/json"),
    ("Accept", "application/json"),
];

fn framed(record: &Value) -> Vec<u8> {
    let text = record.to_string();
    format!("{}\n{text}", text.len()).into_bytes()
}

fn begin(container: &Value) -> Value {
    json!({"type": "ATTACH_CONTAINER_INPUT",
           "attach_container_input": {"type": "CONTAINER_ID", "container_id": container}})
}

fn typed(text: &str) -> Value {
    // Base64 of a few letters, by hand.
    let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut data = String::new();
    for bytes in text.as_bytes().chunks(3) {
        let word = bytes.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
            << (8 * (3 - bytes.len()));
        for at in 0..4 {
            let letter = char::from(table[word >> (18 - 6 * at) & 63]);
            data.push(if at <= bytes.len() { letter } else { '=' });
        }
    }
    json!({"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": {"type": "PROCESS_IO", "process_io": {
        "type": "DATA", "data": {"type": "STDIN", "data": data}}}})
}

/// A request for input that goes on.
struct Typist(TcpStream);

impl Typist {
    fn begin(address: SocketAddr, container: &Value) -> Self {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let headers: String = RECORDIO.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("a head");
        let mut typist = Self(stream);
        typist.send(&framed(&begin(container)));
        typist
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend(bytes);
        chunk.extend(b"\r\n");
        self.0.write_all(&chunk).expect("a chunk");
    }

    /// Ends the request, and reads the status and what is said.
    fn end(mut self) -> String {
        // Refused already, perhaps.
        let _ = self.0.write_all(b"0\r\n\r\n");
        self.answer()
    }

    fn answer(self) -> String {
        let mut reader = BufReader::new(self.0);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        let (mut name, mut length) = (String::new(), 0);
        while {
            name.clear();
            reader.read_line(&mut name).expect("a header")
        } > 2
        {
            if let Some(value) = name.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        format!("{} {}", line.split(' ').nth(1).expect("a status"), String::from_utf8_lossy(&body))
    }
}

fn look(address: SocketAddr, container: &Value) -> Stream {
    let call =
        json!({"type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": {"container_id": container}});
    Stream::open(address, "/api/v1", &call).expect("a stream")
}

/// Reads on until the output has this letters in base64, at a border of three.
fn until_shown(stream: &mut Stream, text: &str) {
    let mut shown = String::new();
    stream
        .until(text, |record| {
            let data = record["data"]["data"].as_str().unwrap_or_default();
            shown.push_str(&decode(data));
            shown.contains(text)
        })
        .unwrap_or_else(|error| panic!("{error:#}: {shown:?}"));
}

fn decode(data: &str) -> String {
    let table = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_usize, 0);
    for letter in data.chars().filter_map(|letter| table.find(letter)) {
        word = (word << 6 | letter) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).expect("a byte"));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Echoes lines, with a word before each, for ever.
const ECHO: &str = "while read line; do echo \"got-$line.\"; done";

#[test]
fn an_attachment_survives_a_restart_of_the_agent() {
    let mut pod = Pod::run(&[], &[("a", ECHO, terminal()), ("b", "exec sleep 76105", plain())]);
    let (home, container) = (pod.cluster.home.path().to_owned(), pod.container("a"));
    let helpers = helpers_of(&home);
    assert_eq!(helpers.len(), 1, "one helper, for the one terminal");
    let address = pod.address();
    let (mut first, mut second) = (look(address, &container), look(address, &container));
    let mut typist = Typist::begin(address, &container);
    typist.send(&framed(&typed("before\n")));
    until_shown(&mut first, "got-before.");
    until_shown(&mut second, "got-before.");
    pod.cluster.agents[0].restart().expect("an agent");
    // Who was attached is not any more; the terminal is.
    assert!(first.until("the end", |_| false).is_err());
    eventually("the agent has recovered", PATIENCE, || {
        let answer = attach_output(address, &container, &[]);
        (answer.is_none_or(|answer| answer.status == 200)).then_some(())
    });
    assert_eq!(helpers_of(&home), helpers, "the helper lives on");
    let mut third = look(address, &container);
    let mut typist = Typist::begin(address, &container);
    typist.send(&framed(&typed("after\n")));
    until_shown(&mut third, "got-after.");
    assert_eq!(typist.end(), "200 ");
    // The same by the tool, at a terminal.
    let mut tool = Pty::start(&pod.tool(&["task", "attach", "a"]), 30, 90).expect("a terminal");
    tool.press("by hand\r");
    tool.until("got-by hand.");
    tool.press("\u{10}\u{11}");
    assert_eq!(tool.ended().code(), Some(0), "{}", tool.shown());
    // All of it is in the task's file, too.
    let file = home.join("agent-0/slaves");
    let text = String::from_utf8(
        Command::new("find")
            .arg(&file)
            .args(["-name", "stdout", "-exec", "cat", "{}", "+"])
            .output()
            .expect("find")
            .stdout,
    );
    let text = text.expect("text");
    assert!(["got-before.", "got-after.", "got-by hand."].iter().all(|it| text.contains(it)), "{text}");
    pod.end();
}

/// The answer to an attachment; none if it is a stream.
fn attach_output(address: SocketAddr, container: &Value, more: &[(&str, &str)]) -> Option<Answer> {
    let call =
        json!({"type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": {"container_id": container}});
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(more);
    let body = call.to_string();
    let mut head = format!("POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    if line.contains(" 200 ") {
        return None;
    }
    drop(stream);
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(more);
    request(address, "POST", "/api/v1", &headers, body.as_bytes()).ok()
}

#[test]
fn what_is_no_attachment_is_refused() {
    let pod = Pod::run(&[], &[("a", ECHO, terminal()), ("b", "exec sleep 76106", plain())]);
    let (address, home) = (pod.address(), pod.cluster.home.path().to_owned());
    let (a, b) = (pod.container("a"), pod.container("b"));
    let descriptors =
        || fs::read_dir(format!("/proc/{}/fd", pod.cluster.agents[0].pid())).expect("fd").count();
    let nowhere = json!({"value": "nowhere"});
    let nested = json!({"value": "nowhere", "parent": a});
    for (container, status, why) in [
        (&nowhere, 404, "Container nowhere cannot be found"),
        (&nested, 500, "Unknown container "),
        (&b, 500, "I/O switchboard server was disabled for this container"),
    ] {
        let answer = attach_output(address, container, &[]).expect("a refusal");
        assert!(
            answer.status == status && answer.text().starts_with(why),
            "{}: {}",
            answer.status,
            answer.text()
        );
        let refused = Typist::begin(address, container).end();
        assert!(refused.starts_with(&format!("{status} {why}")), "{refused}");
    }
    // What was negotiated.
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        let answer = request(address, "POST", "/api/v1", headers, body).expect("an answer");
        format!("{} {}", answer.status, answer.text())
    };
    let json = [("Content-Type", "application/json"), ("Accept", "application/json")];
    assert_eq!(
        post(&json, begin(&a).to_string().as_bytes()),
        "415 Expecting 'Content-Type' to be application/recordio for ATTACH_CONTAINER_INPUT call"
    );
    assert_eq!(
        post(&RECORDIO, &framed(&json!({"type": "GET_HEALTH"}))),
        "415 Streaming 'Content-Type' application/recordio is not supported for GET_HEALTH call"
    );
    let streams = [RECORDIO[0], RECORDIO[1], ("Accept", "application/recordio")];
    assert_eq!(
        post(&streams, &framed(&begin(&a))),
        "406 Streaming response is not supported for ATTACH_CONTAINER_INPUT call"
    );
    assert_eq!(post(&RECORDIO, b""), "400 Received EOF while reading request body");
    assert!(post(&RECORDIO, b"12").starts_with("400 The request ends within a record"));
    assert!(post(&RECORDIO, b"words\nwords").starts_with("400 Failed to decode length 'w'"));
    assert!(post(&RECORDIO, b"4194305\n").starts_with("400 Record of 4194305 bytes exceeds the maximum"));
    assert!(post(&RECORDIO, b"5\nwords").starts_with("400 Failed to parse body into JSON"));
    assert_eq!(
        post(&RECORDIO, &framed(&typed("x"))),
        "400 Expecting 'attach_container_input.type' to be CONTAINER_ID"
    );
    // After a good beginning.
    let refused = |record: &[u8]| {
        let mut typist = Typist::begin(address, &a);
        typist.send(record);
        typist.answer()
    };
    assert!(refused(b"x\n").starts_with("400 Failed to decode length"));
    assert!(refused(&framed(&json!({"type": "NOSUCH"}))).starts_with("400 "));
    assert!(
        refused(&framed(&begin(&a)))
            .starts_with("400 Expecting 'attach_container_input.type' to be 'PROCESS_IO'")
    );
    let size = |rows: u32| {
        json!({"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": {"type": "PROCESS_IO", "process_io": {
            "type": "CONTROL", "control": {"type": "TTY_INFO",
                "tty_info": {"window_size": {"rows": rows, "columns": 80}}}}}})
    };
    assert!(refused(&framed(&size(70_000))).starts_with("400 Unable to set the window size"));
    // One types at a time. Who vanishes makes room.
    let mut view = look(address, &a);
    let mut first = Typist::begin(address, &a);
    first.send(&framed(&typed("first\n")));
    until_shown(&mut view, "got-first.");
    assert_eq!(Typist::begin(address, &a).answer(), "409 Multiple input connections are not allowed");
    drop(first);
    eventually("there is room again", PATIENCE, || {
        let mut next = Typist::begin(address, &a);
        next.send(&framed(&typed("next\n")));
        (next.end() == "200 ").then_some(())
    });
    until_shown(&mut view, "got-next.");
    view.cut();
    // What came and went has left no descriptor, and the task does not mind.
    let before = descriptors();
    for _ in 0..20 {
        look(address, &a).cut();
        drop(Typist::begin(address, &a));
        let _ = request_raw(address, b"POST /api/v1 HTTP/1.1\r\nContent-Type: application/recordio\r\n\r\n");
    }
    eventually("no descriptor is left", PATIENCE, || (descriptors() <= before + 2).then_some(()));
    let mut view = look(address, &a);
    eventually("there is room again", PATIENCE, || {
        let mut last = Typist::begin(address, &a);
        last.send(&framed(&typed("last\n")));
        (last.end() == "200 ").then_some(())
    });
    until_shown(&mut view, "got-last.");
    assert_eq!(helpers_of(&home).len(), 1);
    pod.end();
}

#[test]
fn a_task_by_itself_has_a_terminal() {
    let command =
        "tty; stty size; trap 'echo interrupted.' INT; while true; do read line; echo \"got-$line.\"; done";
    let flags = ["--tty".to_owned(), "--name=t".to_owned(), format!("--command={command}")];
    let pod = Pod::execute(&[], &flags, 1);
    let mut tool = Pty::start(&pod.tool(&["task", "attach", "t"]), 31, 91).expect("a terminal");
    tool.press("words\r");
    tool.until("got-words.");
    tool.press("\u{3}");
    tool.until("interrupted.");
    // Only to look.
    let second = Pty::start(&pod.tool(&["task", "attach", "--no-stdin", "t"]), 31, 91).expect("a terminal");
    eventually("the second looks, too", PATIENCE, || {
        tool.press("more\r");
        std::thread::sleep(Duration::from_millis(50));
        second.shown().contains("got-more.").then_some(())
    });
    pod.end();
}

/// What the master knows of the end of a task.
fn last_status(pod: &Pod, task: &str) -> Option<Value> {
    let answer = operate(pod.cluster.master.address, &json!({"type": "GET_TASKS"}));
    let kinds = ["tasks", "completed_tasks"];
    let mut tasks = kinds.iter().flat_map(|kind| answer["get_tasks"][*kind].as_array().into_iter().flatten());
    tasks.find(|it| it["task_id"]["value"] == task)?["statuses"].as_array()?.last().cloned()
}

#[test]
fn a_terminal_whose_holder_is_killed_ends_its_task() {
    let pod = Pod::run(&[], &[("a", ECHO, terminal())]);
    let mut view = look(pod.address(), &pod.container("a"));
    for pid in helpers_of(pod.cluster.home.path()) {
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    }
    // A viewer is told that this is not all.
    assert!(view.until("the end", |_| false).is_err());
    let status = eventually("the task has failed", PATIENCE, || {
        last_status(&pod, "a").filter(|status| status["state"] == "TASK_FAILED")
    });
    assert_eq!(status["reason"], "REASON_IO_SWITCHBOARD_EXITED", "{status}");
    let message = status["message"].as_str().expect("a message");
    assert!(message.ends_with("'IOSwitchboard' terminated with signal Killed"), "{message}");
    pod.end();
}

/// The most memory that a process had at once, in kilobytes.
fn peak_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn nobody_who_stalls_holds_a_task_up_for_ever() {
    let flood = "read line; head -c 60000000 /dev/zero | tr '\\0' x; echo; echo done; exec sleep 76131";
    let pod = Pod::run(&[], &[("a", flood, terminal())]);
    let container = pod.container("a");
    // It asks, and reads nothing but the beginning.
    let stalled = look(pod.address(), &container);
    let mut typist = Typist::begin(pod.address(), &container);
    let helper = *helpers_of(pod.cluster.home.path()).first().expect("one");
    let before = peak_of(helper);
    typist.send(&framed(&typed("go\n")));
    assert_eq!(typist.end(), "200 ");
    let sandboxes = pod.cluster.home.path().join("agent-0/slaves");
    eventually("all of it is in the file", PATIENCE, || {
        logs(&sandboxes, "stdout").iter().any(|(_, size)| *size > 60_000_000).then_some(())
    });
    // What the helper is by itself (its program's pages, in a build for tests) says nothing of the flood.
    let grown = peak_of(helper) - before;
    assert!(grown < 20_000, "{grown} kB more than before {before}");
    stalled.cut();
    pod.end();
}

#[test]
fn sessions_leave_nothing_behind() {
    let pod = Pod::run(&[], &[("a", "exec sleep 76132", plain())]);
    let (address, around) = (pod.address(), pod.container("a"));
    let agent = pod.cluster.agents[0].pid();
    let descriptors = || fs::read_dir(format!("/proc/{agent}/fd")).expect("fd").count();
    let session = |round: usize, command: &str, container: &Value| {
        Stream::open(
            address,
            "/api/v1",
            &json!({
                "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": {
                    "container_id": {"value": format!("s{round}"), "parent": around},
                    "command": {"value": command}, "container": container,
                },
            }),
        )
        .expect("a stream")
    };
    let mut before = None;
    for round in 0..40 {
        let (container, id) = (
            [plain(), terminal()][round % 2].clone(),
            json!({"value": format!("s{round}"), "parent": around}),
        );
        // One that ends at once, and is seen all the same; one that is left; one with somebody at it.
        let mut quick = session(1000 + round, "echo quick.", &container);
        until_shown(&mut quick, "quick.");
        while let Ok(Some(_)) = quick.next(PATIENCE) {}
        let mut left = session(round, "read line; echo got-$line.; sleep 76133", &container);
        let mut typist = Typist::begin(address, &id);
        typist.send(&framed(&typed("it\n")));
        until_shown(&mut left, "got-it.");
        let mut second = look(address, &id);
        left.cut();
        while let Ok(Some(_)) = second.next(PATIENCE) {}
        assert_eq!(typist.answer(), "200 ", "the input ends with the session");
        if round == 3 {
            before = Some(descriptors());
        }
    }
    eventually("no process is left", PATIENCE, || (!has_process("sleep 76133")).then_some(()));
    let before = before.expect("it was counted");
    eventually("no descriptor is left", PATIENCE, || (descriptors() <= before + 2).then_some(()));
    pod.end();
}

#[test]
fn root_a_terminal_belongs_to_the_tasks_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this needs root");
        return;
    }
    let group = json!({"tasks": [{
        "name": "a", "task_id": {"value": "a"}, "agent_id": {"value": ""},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                      {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
        "command": {"value": "echo i-am-$(id -un). > $(tty); exec sleep 76134", "user": "nobody"},
        "container": terminal(),
    }]});
    let pod = Pod::execute(&[], &[format!("--task_group={group}")], 1);
    let sandboxes = pod.cluster.home.path().join("agent-0/slaves");
    eventually("it has written to its terminal", PATIENCE, || {
        let found =
            Command::new("grep").arg("-rl").arg("i-am-nobody").arg(&sandboxes).output().expect("grep");
        String::from_utf8_lossy(&found.stdout).contains("/stdout").then_some(())
    });
    let helper = *helpers_of(pod.cluster.home.path()).first().expect("one");
    let status = fs::read_to_string(format!("/proc/{helper}/status")).expect("a status");
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("a user");
    assert!(
        !uid.split_whitespace().any(|uid| uid == "0"),
        "the holder of the terminal is that user, too: {uid}"
    );
    pod.end();
}

/// Files of a sandbox below that directory whose name begins so, with their sizes.
fn logs(directory: &Path, name: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            found.extend(logs(&path, name));
        } else if file.starts_with(name) {
            found.push((file, metadata.len()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_flood_is_held_to_a_size_and_goes_on_after_a_restart_of_the_agent() {
    let modules = json!({"libraries": [{"file": "/usr/lib/liblogrotate_container_logger.so", "modules": [{
        "name": "org_apache_mesos_LogrotateContainerLogger",
        "parameters": [{"key": "max_stdout_size", "value": "64KB"},
                       {"key": "logrotate_stdout_options", "value": "rotate 2\ncompress"}]}]}]});
    let flags = [
        "--container_logger=org_apache_mesos_LogrotateContainerLogger".to_owned(),
        format!("--modules={modules}"),
    ];
    let task = "--name=flood".to_owned();
    let environment = r#"--env={"CONTAINER_LOGGER_MAX_STDERR_SIZE":"8KB"}"#.to_owned();
    let command = "--command=seq 100000; seq 5000 >&2; until [ -e go ]; do sleep 0.1; done; seq 90000; echo last; exec sleep 76121";
    let mut pod = Pod::execute(&flags, &[task, environment, command.to_owned(), "--no-follow".to_owned()], 1);
    let sandboxes = pod.cluster.home.path().join("agent-0/slaves");
    let is_held = |files: &[(String, u64)], names: &[&str], most: u64| {
        let own: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        own == names && files.iter().all(|(_, size)| *size <= most)
    };
    // Half a megabyte of output.
    let stdout = ["stdout", "stdout.1", "stdout.2"];
    eventually("the flood has passed", PATIENCE, || {
        (is_held(&logs(&sandboxes, "stdout"), &stdout, 64 << 10)
            && is_held(&logs(&sandboxes, "stderr"), &["stderr"], 8 << 10))
        .then_some(())
    });
    let helpers = helpers_of(pod.cluster.home.path());
    assert_eq!(helpers.len(), 1);
    pod.cluster.agents[0].restart().expect("an agent");
    let sandbox = pod.cluster.agents[0].json("/state")["frameworks"][0]["executors"][0]["directory"].clone();
    let sandbox = Path::new(sandbox.as_str().expect("a path"));
    fs::write(sandbox.join("go"), "").expect("a file");
    eventually("what comes later is in the file", PATIENCE, || {
        fs::read_to_string(sandbox.join("stdout")).ok()?.ends_with("\nlast\n").then_some(())
    });
    assert!(is_held(&logs(&sandboxes, "stdout"), &stdout, 64 << 10), "{:?}", logs(&sandboxes, "stdout"));
    assert_eq!(helpers_of(pod.cluster.home.path()), helpers);
    pod.end();
}

#[test]
fn a_terminal_that_stands_alone_is_shown_with_signs_of_life() {
    let options =
        Options { agent_flags: vec!["--http_heartbeat_interval=100ms".to_owned()], ..Options::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    let (address, id) = (cluster.agents[0].address, json!({"value": "alone"}));
    let launch = json!({"type": "LAUNCH_CONTAINER", "launch_container": {
        "container_id": id, "command": {"value": ECHO}, "container": terminal(),
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}],
    }});
    operate(address, &launch);
    let mut view = look(address, &id);
    let beat = view.until("a sign of life", |record| record["type"] == "CONTROL").expect("a record");
    assert_eq!(
        beat["control"],
        json!({"type": "HEARTBEAT", "heartbeat": {"interval": {"nanoseconds": 100_000_000}}})
    );
    let mut typist = Typist::begin(address, &id);
    typist.send(&framed(&typed("words\n")));
    until_shown(&mut view, "got-words.");
    operate(address, &json!({"type": "KILL_CONTAINER", "kill_container": {"container_id": id}}));
    let ended = operate(address, &json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}}));
    assert_eq!(ended["wait_container"]["exit_status"], 9, "{ended}");
    assert_eq!(typist.answer(), "200 ", "the input ends with the container");
    while let Ok(Some(_)) = view.next(PATIENCE) {}
    assert!(processes_of(cluster.home.path()).is_empty());
    operate(address, &json!({"type": "REMOVE_CONTAINER", "remove_container": {"container_id": id}}));
}

#[test]
fn a_link_in_the_place_of_nested_sandboxes_leads_nowhere() {
    let outside = tempfile::tempdir().expect("a directory");
    let command = format!("ln -s {} containers; exec sleep 77411", outside.path().display());
    let pod = Pod::run(&[], &[("a", &command, json!({"type": "MESOS"}))]);
    let slaves = pod.cluster.home.path().join("agent-0/slaves");
    eventually("the task has put a link there", PATIENCE, || {
        let found = Command::new("find").arg(&slaves).args(["-name", "containers", "-type", "l"]).output();
        (!found.expect("find").stdout.is_empty()).then_some(())
    });
    let inner = json!({"value": "precious", "parent": pod.container("a")});
    let launch = json!({"type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": {
        "container_id": inner, "command": {"value": "echo out"}}});
    let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
    let answer = request(pod.address(), "POST", "/api/v1", &headers, launch.to_string().as_bytes());
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("Failed to create nested sandbox"), "{}", answer.text());
    assert_eq!(fs::read_dir(outside.path()).expect("it is there").count(), 0);
    // Nor is anything deleted there.
    fs::create_dir(outside.path().join("precious")).expect("a directory");
    let remove =
        json!({"type": "REMOVE_NESTED_CONTAINER", "remove_nested_container": {"container_id": inner}});
    let answer = request(pod.address(), "POST", "/api/v1", &headers, remove.to_string().as_bytes());
    assert_eq!(answer.expect("an answer").status, 500);
    assert!(outside.path().join("precious").exists());
    pod.end();
}
