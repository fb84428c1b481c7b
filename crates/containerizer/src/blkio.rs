//! `cgroups/blkio`: what a container reads from and writes to disks, as the files of either version say it.

use std::collections::BTreeMap;

use linux::Cgroup;
use proto::mesos::v1::ResourceStatistics;
use proto::mesos::v1::cgroup_info::blkio::{Operation, Statistics, Value, cfq, throttling};
use proto::mesos::v1::device;

/// Numbers of a device; none for the sum over all of them.
type Device = Option<(u64, u64)>;

/// Version 1.
///
/// COMPAT(mesos): there is an empty entry of CFQ, which kernels since 5.0 do not have.
pub(crate) fn fill_v1(statistics: &mut ResourceStatistics, cgroup: &Cgroup) {
    let mut devices: BTreeMap<Device, throttling::Statistics> = BTreeMap::from([(None, default())]);
    let read = |file: &str| cgroup.read(file).unwrap_or_default();
    for (device, value) in values(&read("blkio.throttle.io_serviced")) {
        devices.entry(device).or_default().io_serviced.push(value);
    }
    for (device, value) in values(&read("blkio.throttle.io_service_bytes")) {
        devices.entry(device).or_default().io_service_bytes.push(value);
    }
    statistics.blkio_statistics = Some(Statistics {
        cfq: vec![cfq::Statistics::default()],
        cfq_recursive: vec![cfq::Statistics::default()],
        throttling: told(devices),
    });
}

/// Version 2, of which Mesos tells nothing: the same form.
pub(crate) fn fill_v2(statistics: &mut ResourceStatistics, cgroup: &Cgroup) {
    let Ok(text) = cgroup.read("io.stat") else { return };
    statistics.blkio_statistics =
        Some(Statistics { throttling: told(unified(&text)), ..Statistics::default() });
}

fn default() -> throttling::Statistics {
    throttling::Statistics::default()
}

/// The devices, and then their sum.
fn told(mut devices: BTreeMap<Device, throttling::Statistics>) -> Vec<throttling::Statistics> {
    let sum = devices.remove(&None);
    let one = |(device, mut statistics): (Device, throttling::Statistics)| {
        statistics.device =
            device.map(|(major, minor)| device::Number { major_number: major, minor_number: minor });
        statistics
    };
    devices.into_iter().map(one).chain(sum).collect()
}

/// Lines such as `254:0 Read 4096`, and `Total 4096` for all devices.
fn values(text: &str) -> impl Iterator<Item = (Device, Value)> + '_ {
    text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (device, operation, number) = match words[..] {
            [device, operation, number] => (Some(numbers(device)?), operation, number),
            [operation, number] => (None, operation, number),
            _ => return None,
        };
        Some((device, value(operation_of(operation), number.parse().ok()?)))
    })
}

fn operation_of(name: &str) -> Operation {
    match name {
        "Total" => Operation::Total,
        "Read" => Operation::Read,
        "Write" => Operation::Write,
        "Sync" => Operation::Sync,
        "Async" => Operation::Async,
        "Discard" => Operation::Discard,
        _ => Operation::Unknown,
    }
}

fn numbers(device: &str) -> Option<(u64, u64)> {
    let (major, minor) = device.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn value(operation: Operation, value: u64) -> Value {
    Value { op: Some(operation.into()), value: Some(value) }
}

/// Lines such as `254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
fn unified(text: &str) -> BTreeMap<Device, throttling::Statistics> {
    let mut devices: BTreeMap<Device, throttling::Statistics> = BTreeMap::new();
    let mut sums = (0_u64, 0_u64);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(device) = words.next().and_then(numbers) else { continue };
        let named: BTreeMap<&str, u64> = words
            .filter_map(|word| word.split_once('='))
            .filter_map(|(k, v)| Some((k, v.parse().ok()?)))
            .collect();
        let get = |name: &str| named.get(name).copied().unwrap_or(0);
        let list = |read: &str, write: &str, discard: &str| {
            let (read, write, discard) = (get(read), get(write), get(discard));
            let total = read.saturating_add(write).saturating_add(discard);
            let values = vec![
                value(Operation::Read, read),
                value(Operation::Write, write),
                value(Operation::Discard, discard),
                value(Operation::Total, total),
            ];
            (values, total)
        };
        let (io_serviced, requests) = list("rios", "wios", "dios");
        let (io_service_bytes, bytes) = list("rbytes", "wbytes", "dbytes");
        sums = (sums.0.saturating_add(requests), sums.1.saturating_add(bytes));
        devices.insert(Some(device), throttling::Statistics { device: None, io_serviced, io_service_bytes });
    }
    let sum = throttling::Statistics {
        device: None,
        io_serviced: vec![value(Operation::Total, sums.0)],
        io_service_bytes: vec![value(Operation::Total, sums.1)],
    };
    devices.insert(None, sum);
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(statistics: &throttling::Statistics) -> Vec<(Operation, u64)> {
        statistics.io_service_bytes.iter().map(|it| (it.op(), it.value())).collect()
    }

    #[test]
    fn both_versions_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(directory.path().join(file), text).unwrap();
        write("blkio.throttle.io_service_bytes", "254:0 Read 4096\n254:0 Total 4096\nbroken x\nTotal 4096\n");
        write("blkio.throttle.io_serviced", "Total 1\n");
        write("io.stat", "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\nbroken\n");
        let cgroup = Cgroup::at(directory.path());
        let mut statistics = ResourceStatistics::default();
        fill_v1(&mut statistics, &cgroup);
        let found = statistics.blkio_statistics.take().unwrap();
        assert_eq!((found.cfq.len(), found.cfq_recursive.len(), found.throttling.len()), (1, 1, 2));
        let device = device::Number { major_number: 254, minor_number: 0 };
        assert_eq!(found.throttling[0].device, Some(device));
        assert_eq!(bytes(&found.throttling[0]), [(Operation::Read, 4096), (Operation::Total, 4096)]);
        assert_eq!(found.throttling[1].io_serviced, [value(Operation::Total, 1)]);
        fill_v2(&mut statistics, &cgroup);
        let found = statistics.blkio_statistics.unwrap();
        let expected =
            [(Operation::Read, 1), (Operation::Write, 2), (Operation::Discard, 5), (Operation::Total, 8)];
        assert_eq!(bytes(&found.throttling[0]), expected);
        assert_eq!(found.throttling[1].io_serviced, [value(Operation::Total, 13)]);
    }
}
