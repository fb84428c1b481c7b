//! Cases of the rules, as tables.

use proto::mesos::v1::resource::{DiskInfo, ReservationInfo, SharedInfo, disk_info};

use super::*;

fn cpus(value: f64) -> v1::Resource {
    let mut message = v1::Resource {
        name: "cpus".to_owned(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    message.set_type(Type::Scalar);
    message
}

fn with(change: impl FnOnce(&mut v1::Resource)) -> v1::Resource {
    let mut message = cpus(1.0);
    change(&mut message);
    message
}

fn reservation(kind: reservation_info::Type, role: &str) -> ReservationInfo {
    ReservationInfo { role: Some(role.to_owned()), r#type: Some(kind.into()), ..Default::default() }
}

#[track_caller]
fn check(message: &v1::Resource, refusal: &str) {
    let got = resource(message).err().map(|why| why.to_string());
    assert_eq!(got.unwrap_or_default(), refusal);
}

#[test]
fn amounts() {
    check(&cpus(1.0), "");
    check(&cpus(0.0), "");
    for value in [-1.0, 0.0004, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        check(&cpus(value), "Invalid scalar resource: value <= 0");
    }
    check(&with(|m| m.name.clear()), "Empty resource name");
    check(&with(|m| m.r#type = 77), "Invalid resource type");
    check(&with(|m| m.set_type(Type::Text)), "Unsupported resource type");
    check(&with(|m| m.scalar = None), "Invalid scalar resource");
    check(&with(|m| m.set = Some(v1::value::Set::default())), "Invalid scalar resource");
    check(&with(|m| m.set_type(Type::Set)), "Invalid set resource");
    check(&with(|m| m.set_type(Type::Ranges)), "Invalid ranges resource");
}

#[test]
fn ranges_neither_reverse_nor_overlap() {
    let ranges = |pairs: &[(u64, u64)]| {
        with(|m| {
            m.scalar = None;
            m.set_type(Type::Ranges);
            let range = pairs.iter().map(|&(begin, end)| v1::value::Range { begin, end }).collect();
            m.ranges = Some(v1::value::Ranges { range });
        })
    };
    check(&ranges(&[]), "");
    check(&ranges(&[(1, 2), (3, 4)]), "");
    check(&ranges(&[(5, 4)]), "Invalid ranges resource: begin > end");
    check(&ranges(&[(1, 2), (2, 4)]), "Invalid ranges resource: overlapping ranges");
    check(&ranges(&[(7, 9), (0, u64::MAX)]), "Invalid ranges resource: overlapping ranges");
}

#[test]
#[expect(deprecated, reason = "the old fields are what is checked")]
fn old_reservations() {
    let given = |role: &str, reservation: Option<ReservationInfo>| {
        with(|m| {
            m.role = Some(role.to_owned());
            m.reservation = reservation;
        })
    };
    check(&given("*", None), "");
    check(&given("prod", None), "");
    check(&given("prod", Some(ReservationInfo::default())), "");
    check(&given("", None), "Role names cannot be the empty string");
    check(
        &given("*", Some(ReservationInfo::default())),
        "Invalid reservation: role \"*\" cannot be dynamically reserved",
    );
    check(
        &given("a", Some(reservation(reservation_info::Type::Dynamic, "a"))),
        "'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field",
    );
    check(
        &given("a", Some(ReservationInfo { role: Some("a".to_owned()), ..Default::default() })),
        "'Resource.ReservationInfo.role' must not be set for the 'Resource.reservation' field",
    );
}

#[test]
fn stacks_refine_downwards() {
    use reservation_info::Type::{Dynamic, Static};
    let stack = |entries: &[(reservation_info::Type, &str)]| {
        with(|m| m.reservations = entries.iter().map(|(kind, role)| reservation(*kind, role)).collect())
    };
    check(&stack(&[(Static, "a"), (Dynamic, "a/b"), (Dynamic, "a/b/c")]), "");
    check(&stack(&[(Static, "*")]), "Invalid reservation: role \"*\" cannot be reserved");
    check(
        &stack(&[(Static, "a"), (Static, "a/b")]),
        "Invalid refined reservation: A refined reservation cannot be STATIC",
    );
    check(
        &stack(&[(Dynamic, "a"), (Dynamic, "a")]),
        "Invalid refined reservation: role 'a' is not a refinement of 'a'",
    );
    check(
        &stack(&[(Dynamic, "a"), (Dynamic, "ab")]),
        "Invalid refined reservation: role 'ab' is not a refinement of 'a'",
    );
    check(
        &with(|m| m.reservations = vec![ReservationInfo::default()]),
        "Invalid reservation: 'Resource.ReservationInfo.type' field must be set.",
    );
    check(
        &with(|m| {
            m.reservations = vec![ReservationInfo { r#type: Some(Static.into()), ..Default::default() }];
        }),
        "Invalid reservation: 'Resource.ReservationInfo.role' field must be set.",
    );
}

#[test]
#[expect(deprecated, reason = "the old fields are what is checked")]
fn both_formats_agree() {
    use reservation_info::Type::{Dynamic, Static, Unknown};
    let given = |kind, role: Option<&str>, old: Option<ReservationInfo>| {
        with(|m| {
            m.reservations = vec![reservation(kind, "a")];
            m.role = role.map(str::to_owned);
            m.reservation = old;
        })
    };
    check(&given(Static, Some("a"), None), "");
    check(&given(Dynamic, Some("a"), Some(ReservationInfo::default())), "");
    check(
        &given(Static, Some("b"), None),
        "Invalid resource format: 'Resource.role' field with 'b' does not match the role 'a' in \
         'Resource.reservations'",
    );
    check(
        &given(Static, Some("a"), Some(ReservationInfo::default())),
        "Invalid resource format: 'Resource.reservation' must not be set if the single reservation in \
         'Resource.reservations' is STATIC",
    );
    check(
        &given(Dynamic, Some("a"), None),
        "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be both set or both \
         not set if the single reservation in 'Resource.reservations' is DYNAMIC",
    );
    let principal = ReservationInfo { principal: Some("p".to_owned()), ..Default::default() };
    check(
        &given(Dynamic, Some("a"), Some(principal)),
        "Invalid resource format: 'Resource.reservation.principal' field with 'p' does not match the principal \
         '' in 'Resource.reservations'",
    );
    check(&given(Unknown, None, None), "Unsupported 'Resource.ReservationInfo.Type'");
}

fn disk(info: DiskInfo) -> v1::Resource {
    with(|m| {
        m.name = "disk".to_owned();
        m.disk = Some(info);
    })
}

fn source(kind: source::Type) -> disk_info::Source {
    disk_info::Source { r#type: kind.into(), ..Default::default() }
}

#[test]
fn disks_and_sharing() {
    use disk_info::source::Type::{Block, Raw, Unknown};
    check(&with(|m| m.disk = Some(DiskInfo::default())), "DiskInfo should not be set for cpus resource");
    check(
        &disk(DiskInfo { source: Some(source(Unknown)), ..Default::default() }),
        "Unsupported 'DiskInfo.Source.Type' in 'UNKNOWN'",
    );
    let mounted = disk_info::Source { mount: Some(Default::default()), ..source(Block) };
    check(
        &disk(DiskInfo { source: Some(mounted), ..Default::default() }),
        "Mount should not be set for BLOCK disk source",
    );
    let pathed = disk_info::Source { path: Some(Default::default()), ..source(Raw) };
    check(
        &disk(DiskInfo { source: Some(pathed), ..Default::default() }),
        "Path should not be set for RAW disk source",
    );
    check(&with(|m| m.shared = Some(SharedInfo {})), "Resource cpus cannot be shared");
    let mut shared = disk(DiskInfo::default());
    shared.shared = Some(SharedInfo {});
    check(&shared, "Only persistent volumes can be shared");
}

#[test]
fn lists_name_the_bad_one() {
    let why = all(&[cpus(1.0), cpus(-1.0)]).expect_err("negative");
    assert_eq!(
        why.to_string(),
        "Invalid resources: Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0"
    );
    let why = all(&[with(|m| {
        m.name = "gpus".to_owned();
        m.scalar = Some(v1::value::Scalar { value: 0.5 });
    })])
    .expect_err("half a GPU");
    assert_eq!(why.to_string(), "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer");
    let why = all(&[disk(DiskInfo::default())]).expect_err("an empty disk");
    assert_eq!(why.to_string(), "Invalid DiskInfo: DiskInfo is set but empty");
}

#[test]
fn volumes_are_reserved_and_named_well() {
    let volume = |id: &str, reserved: bool| {
        let mut message = disk(DiskInfo {
            persistence: Some(disk_info::Persistence { id: id.to_owned(), principal: None }),
            volume: Some(v1::Volume { container_path: "data".to_owned(), ..Default::default() }),
            source: None,
        });
        if reserved {
            message.reservations = vec![reservation(reservation_info::Type::Dynamic, "a")];
        }
        message
    };
    assert!(all(&[volume("v", true)]).is_ok());
    let text = |messages: &[v1::Resource]| all(messages).expect_err("bad volume").to_string();
    assert_eq!(
        text(&[volume("v", false)]),
        "Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources"
    );
    assert_eq!(
        text(&[volume("a/b", true)]),
        "Invalid DiskInfo: Invalid persistence ID for persistent volume: 'a/b' contains invalid characters"
    );
    let twice = Resources::from_protos(&[volume("v", true), volume("v", true)]).expect("valid alone");
    assert_eq!(twice.len(), 2);
    assert_eq!(
        unique_persistence_ids(&twice).expect_err("twice").to_string(),
        "Persistence ID 'v' is not unique"
    );
}

#[test]
fn uses() {
    let parse = |text: &str| Resources::parse(text, "*").expect(text);
    let revocable = parse("cpus:1").map(|r| r.with_revocable(true));
    assert!(not_mixed_revocable(&revocable).is_ok());
    assert_eq!(
        not_mixed_revocable(&(&revocable + &parse("cpus:1"))).expect_err("mixed").to_string(),
        "Cannot use both revocable and non-revocable 'cpus' at the same time"
    );
    let (a, b) = (Role::from("a"), Role::from("b"));
    let both = parse("cpus:1").allocated(&a) + parse("mem:1").allocated(&b);
    assert_eq!(
        single_allocation_role(&both).expect_err("two roles").to_string(),
        "The resources have multiple allocation roles ('b' and 'a') but only one allocation role is allowed"
    );
    assert_eq!(single_allocation_role(&both.allocated_to(&a)), Ok(Some(a)));
    assert_eq!(
        single_allocation_role(&parse("cpus:1")).expect_err("no role").to_string(),
        "The resources are not allocated to a role"
    );
    assert!(overlaps(&[parse("ports:[1-5]"), parse("ports:[5-9]")]));
    assert!(!overlaps(&[parse("ports:[1-4];cpus:1"), parse("ports:[5-9];cpus:1")]));
}
