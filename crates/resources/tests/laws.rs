//! The laws of the algebra, over generated resources of every kind.

use proptest::prelude::*;
use proto::json::{Json, Names, Writer};
use proto::mesos::v1;
use proto::mesos::v1::resource::{DiskInfo, disk_info};
use resources::{
    Format, Quantities, Range, Ranges, Reservation, Resource, Resources, Scalar, Set, Value, format,
};
use types::Role;

fn role() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "a/b", "a/b/c", "prod"])
}

fn stack() -> impl Strategy<Value = Vec<Reservation>> {
    let dynamic = |role: &str| Reservation::dynamic(role, Some("me".to_owned()));
    prop::sample::select(vec![
        vec![],
        vec![],
        vec![Reservation::fixed("a")],
        vec![Reservation::fixed("prod")],
        vec![dynamic("a")],
        vec![Reservation::fixed("a"), dynamic("a/b")],
        vec![dynamic("a"), dynamic("a/b"), dynamic("a/b/c")],
    ])
}

fn scalar_value() -> impl Strategy<Value = Value> {
    (1_i64..5_000).prop_map(|milli| Value::Scalar(Scalar::from_milli(milli)))
}

fn scalar() -> impl Strategy<Value = Resource> {
    let name = prop::sample::select(vec!["cpus", "mem", "disk", "bananas"]);
    (name, scalar_value()).prop_map(|(name, value)| Resource::new(name, value))
}

fn ranges() -> impl Strategy<Value = Resource> {
    prop::collection::vec((0_u64..40, 0_u64..6), 1..4).prop_map(|pairs| {
        let ranges = pairs.into_iter().map(|(begin, len)| Range { begin, end: begin + len });
        Resource::ranges("ports", Ranges::new(ranges))
    })
}

fn set() -> impl Strategy<Value = Resource> {
    prop::sample::subsequence(vec!["x", "y", "z", "w"], 1..4)
        .prop_map(|words| Resource::set("gear", Set::new(words)))
}

fn volume() -> impl Strategy<Value = Resource> {
    let persistence = |id: &str| disk_info::Persistence { id: id.to_owned(), principal: None };
    let mount = disk_info::Source {
        r#type: disk_info::source::Type::Mount.into(),
        mount: Some(disk_info::source::Mount { root: Some("/mnt".to_owned()) }),
        ..Default::default()
    };
    let path = disk_info::Source { r#type: disk_info::source::Type::Path.into(), ..Default::default() };
    let disks = prop::sample::select(vec![
        DiskInfo { persistence: Some(persistence("v1")), ..Default::default() },
        DiskInfo { persistence: Some(persistence("v2")), ..Default::default() },
        DiskInfo { source: Some(mount), ..Default::default() },
        DiskInfo { source: Some(path), ..Default::default() },
    ]);
    (disks, 1_i64..4, any::<bool>()).prop_map(|(disk, units, shared)| {
        let shared = shared && disk.persistence.is_some();
        Resource::scalar("disk", Scalar::from_units(units)).with_disk(Some(disk)).with_shared(shared)
    })
}

/// Any one resource: a kind of amount, in any state.
fn dressed(bare: impl Strategy<Value = Resource>) -> impl Strategy<Value = Resource> {
    (bare, stack(), prop::option::of(role()), any::<bool>()).prop_map(
        |(bare, stack, allocation, revocable)| {
            bare.with_revocable(revocable && stack.is_empty())
                .with_reservations(stack)
                .with_allocation(allocation.map(Role::from))
        },
    )
}

fn some() -> impl Strategy<Value = Resources> {
    let one =
        prop_oneof![4 => scalar().boxed(), 2 => ranges().boxed(), 1 => set().boxed(), 1 => volume().boxed()];
    prop::collection::vec(dressed(one), 0..7).prop_map(Resources::from_iter)
}

/// No ranges and sets, whose sum forgets what was there twice.
fn countable() -> impl Strategy<Value = Resources> {
    let one = prop_oneof![3 => scalar().boxed(), 1 => volume().boxed()];
    prop::collection::vec(dressed(one), 0..7).prop_map(Resources::from_iter)
}

proptest! {
    #[test]
    fn addition_commutes_and_associates(a in some(), b in some(), c in some()) {
        prop_assert_eq!(&a + &b, &b + &a);
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
        prop_assert_eq!(&a + &Resources::new(), a);
    }

    #[test]
    fn what_was_added_can_be_taken(a in countable(), b in countable()) {
        let sum = &a + &b;
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        prop_assert_eq!(&sum - &b, a);
    }

    #[test]
    fn containing_is_being_able_to_take(a in some(), b in some()) {
        let rest = a.checked_sub(&b);
        prop_assert_eq!(rest.is_ok(), a.contains(&b));
        if let Ok(rest) = rest {
            prop_assert_eq!(&rest + &b, a.clone());
        }
        prop_assert!((&a + &b).contains(&a));
        prop_assert!(a.checked_sub(&a).expect("all of it is there").is_empty());
    }

    #[test]
    fn nothing_is_kept_that_should_merge(a in some(), b in some()) {
        let sum = &a + &b;
        for (at, one) in sum.iter().enumerate() {
            prop_assert!(!one.is_empty());
            for other in sum.iter().skip(at + 1) {
                prop_assert!(!one.is_addable(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn filters_part_without_loss(a in some(), role in role()) {
        let role = Role::from(role);
        prop_assert_eq!(&a.unreserved() + &a.reserved(), a.clone());
        prop_assert_eq!(&a.revocable() + &a.non_revocable(), a.clone());
        prop_assert_eq!(&a.shared() + &a.non_shared(), a.clone());
        let roles = a.reservation_roles();
        let by_role: Resources = roles.iter().map(|role| a.reserved_to(role)).sum();
        prop_assert_eq!(by_role, a.reserved());
        for resource in &a.allocatable_to(&role) {
            let reserved = resource.reservation_role();
            prop_assert!(reserved.is_none_or(|reserved| role.is_within(reserved)));
        }
        prop_assert_eq!(a.unallocated().allocated(&role).allocated_to(&role), a.unallocated().allocated(&role));
        // Shared volumes that differ by their reservation alone are copies of one without it, and copies count once.
        let a = a.non_shared();
        prop_assert_eq!(Quantities::of_scalars(&a.to_unreserved()), Quantities::of_scalars(&a));
    }

    #[test]
    fn a_pushed_reservation_can_be_popped(a in some()) {
        let unreserved = a.unreserved().non_revocable();
        let pushed = unreserved.push_reservation(&Reservation::dynamic("x", None)).expect("refines nothing");
        prop_assert_eq!(pushed.pop_reservation(), Some(unreserved.clone()));
        prop_assert_eq!(pushed.to_unreserved(), unreserved);
    }

    #[test]
    fn messages_and_json_round_trip(a in some()) {
        // Messages do not tell copies of what is shared.
        let a = a.map(|resource| if resource.is_shared() { resource.with_shared(true) } else { resource });
        let messages = a.to_protos();
        let back = Resources::from_protos(&messages).expect("what goes out is valid");
        prop_assert_eq!(&back.to_protos(), &messages);
        prop_assert_eq!(back, a);
        for message in &messages {
            let mut out = Writer::new();
            message.write_json(&mut out, Names::V0);
            let read: v1::Resource = proto::json::from_slice_v0(&out.into_bytes()).expect("reads what it wrote");
            prop_assert_eq!(&read, message);
        }
    }

    #[test]
    fn formats_round_trip(a in some()) {
        for resource in &a {
            for format in [Format::PreRefinement, Format::Endpoint, Format::PostRefinement] {
                let mut message = resource.to_proto();
                let converted = format::convert(&mut message, format);
                let refined = resource.has_refined_reservations() && format == Format::PreRefinement;
                prop_assert_eq!(converted.is_err(), refined);
                if converted.is_ok() {
                    let back = Resource::from_proto(&message).expect("every format is valid");
                    prop_assert!(back.same_object(resource), "{} and {}", back, resource);
                }
            }
        }
    }

    #[test]
    fn text_round_trips(parts in prop::collection::vec((scalar(), prop::option::of(role())), 0..6), ports in ranges(), gear in set()) {
        let mut text = format!("ports:{}; gear :{}", ports.value(), gear.value());
        let mut all = Resources::from_iter([ports, gear]);
        for (resource, role) in parts {
            let to = role.map(|role| format!("({role})")).unwrap_or_default();
            text.push_str(&format!(";{}{to}:{}", resource.name(), resource.value()));
            all.push(resource.with_reservations(role.into_iter().map(Reservation::fixed).collect()));
        }
        prop_assert_eq!(Resources::parse(&text, "*").expect("reads"), all);
    }

    #[test]
    fn parsing_never_panics(text in ".{0,40}", form in r"[a-z():;,\[\]{}0-9. -]{0,30}") {
        let _ = Resources::parse(&text, "*");
        let _ = Resources::parse(&form, "*");
        let _ = resources::attributes::parse(&form);
        let _ = Quantities::parse(&form);
    }

    #[test]
    fn fixed_point_sums_are_the_rounded_sums(amounts in prop::collection::vec(0_i64..10_000_000, 0..50)) {
        let sum = amounts.iter().fold(Scalar::ZERO, |sum, milli| {
            let value = Scalar::from_milli(*milli).as_f64();
            sum + Scalar::from_f64(value).expect("fits")
        });
        prop_assert_eq!(sum.milli(), amounts.iter().sum::<i64>());
        let floats: f64 = amounts.iter().map(|milli| Scalar::from_milli(*milli).as_f64()).sum();
        prop_assert_eq!(Scalar::from_f64(floats), Some(sum));
    }

    #[test]
    fn any_message_is_converted_or_refused(value in any::<f64>(), kind in -1_i32..6, begin in any::<u64>(), end in any::<u64>(), role in ".{0,6}") {
        let message = v1::Resource {
            name: "x".to_owned(),
            r#type: kind,
            scalar: Some(v1::value::Scalar { value }).filter(|_| kind != 1),
            ranges: Some(v1::value::Ranges { range: vec![v1::value::Range { begin, end }] }).filter(|_| kind == 1),
            reservations: vec![Reservation::fixed(role.as_str()).to_proto()],
            ..Default::default()
        };
        if let Ok(resource) = Resource::from_proto(&message) {
            let mut all = Resources::from(resource.clone());
            all.push(resource.clone());
            all.take(&resource);
            let _ = (all.to_string(), Quantities::of(&all), all.summary());
        }
    }
}
