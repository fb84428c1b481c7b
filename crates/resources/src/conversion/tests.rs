//! Each operation on an agent with a bit of everything.

use proto::mesos::v1::offer::operation::{Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Unreserve};
use proto::mesos::v1::resource::disk_info::{Persistence, Source, source};
use proto::mesos::v1::resource::{DiskInfo, SharedInfo};

use std::slice::from_ref;

use super::*;
use crate::Reservation;

fn disk(units: i64) -> Resource {
    Resource::scalar("disk", Scalar::from_units(units))
}

fn reserved(resource: Resource) -> Resource {
    resource.with_reservations(vec![Reservation::dynamic("a", None)])
}

fn volume(id: &str, units: i64) -> Resource {
    let persistence = Some(Persistence { id: id.to_owned(), principal: None });
    let path = v1::Volume { container_path: "data".to_owned(), ..Default::default() };
    reserved(disk(units)).with_disk(Some(DiskInfo { persistence, volume: Some(path), ..Default::default() }))
}

fn mounted(resource: &Resource) -> Resource {
    let source = Some(Source { r#type: source::Type::Mount.into(), ..Default::default() });
    let info = resource.disk().cloned().unwrap_or_default();
    resource.clone().with_disk(Some(DiskInfo { source, ..info }))
}

fn operation(kind: Type) -> Operation {
    Operation { r#type: Some(kind.into()), ..Default::default() }
}

fn protos(list: &[Resource]) -> Vec<v1::Resource> {
    list.iter().map(Resource::to_proto).collect()
}

fn reserve(resources: &[Resource], source: &[Resource]) -> Operation {
    let body = Reserve { resources: protos(resources), source: protos(source) };
    Operation { reserve: Some(body), ..operation(Type::Reserve) }
}

fn unreserve(resources: &[Resource]) -> Operation {
    let body = Unreserve { resources: protos(resources) };
    Operation { unreserve: Some(body), ..operation(Type::Unreserve) }
}

fn create(volumes: &[Resource]) -> Operation {
    Operation { create: Some(Create { volumes: protos(volumes) }), ..operation(Type::Create) }
}

fn destroy(volumes: &[Resource]) -> Operation {
    Operation { destroy: Some(Destroy { volumes: protos(volumes) }), ..operation(Type::Destroy) }
}

fn grow(volume: &Resource, addition: &Resource) -> Operation {
    let body = GrowVolume { volume: volume.to_proto(), addition: addition.to_proto() };
    Operation { grow_volume: Some(body), ..operation(Type::GrowVolume) }
}

fn shrink(volume: &Resource, value: f64) -> Operation {
    let body = ShrinkVolume { volume: volume.to_proto(), subtract: v1::value::Scalar { value } };
    Operation { shrink_volume: Some(body), ..operation(Type::ShrinkVolume) }
}

#[track_caller]
fn check(before: &[Resource], operation: &Operation, after: &[Resource]) {
    let before: Resources = before.iter().cloned().collect();
    let got = before.apply(&conversions(operation).unwrap()).unwrap();
    assert_eq!(got, after.iter().cloned().collect(), "{got}");
}

#[track_caller]
fn refused(before: &[Resource], operation: &Operation, why: &str) {
    let before: Resources = before.iter().cloned().collect();
    let got = conversions(operation).and_then(|steps| before.apply(&steps));
    assert_eq!(got.unwrap_err().to_string(), why);
}

#[test]
fn a_reservation_is_pushed_and_popped() {
    let (free, kept) = (disk(10), reserved(disk(4)));
    check(from_ref(&free), &reserve(from_ref(&kept), &[]), &[disk(6), kept.clone()]);
    check(&[disk(6), kept.clone()], &unreserve(&[kept]), &[free]);
    refused(&[disk(3)], &reserve(&[reserved(disk(4))], &[]), "disk:3 does not contain disk:4");
}

#[test]
fn a_source_names_what_is_reserved_anew() {
    let stack = |roles: &[&str]| {
        disk(4).with_reservations(roles.iter().map(|role| Reservation::dynamic(*role, None)).collect())
    };
    let (from, to) = (stack(&["a", "a/b"]), stack(&["a", "a/c"]));
    check(&[from.clone(), disk(1)], &reserve(from_ref(&to), from_ref(&from)), &[to, disk(1)]);
}

#[test]
fn a_volume_is_created_and_destroyed() {
    let v = volume("v", 4);
    check(&[reserved(disk(10))], &create(from_ref(&v)), &[reserved(disk(6)), v.clone()]);
    check(&[reserved(disk(6)), v.clone()], &destroy(from_ref(&v)), &[reserved(disk(10))]);
    refused(
        &[reserved(disk(6))],
        &destroy(from_ref(&v)),
        "disk(reservations: [(DYNAMIC,a)]):6 does not contain disk(reservations: [(DYNAMIC,a)])[v:data]:4",
    );
    let once = conversions(&destroy(&[v.clone(), v.clone()])).unwrap();
    assert!(Resources::from(v).apply(&once).is_err(), "one volume is destroyed once");
}

#[test]
fn a_volume_of_a_mount_takes_it_whole() {
    let (v, mount) = (mounted(&volume("v", 4)), mounted(&reserved(disk(4))));
    check(from_ref(&mount), &create(from_ref(&v)), from_ref(&v));
    check(&[v], &destroy(&[mounted(&volume("v", 4))]), from_ref(&mount));
    let part = mounted(&volume("v", 3));
    assert!(Resources::from(mount).apply(&conversions(&create(&[part])).unwrap()).is_err());
}

#[test]
fn a_shared_volume_goes_with_its_last_copy() {
    let v = volume("v", 4).with_shared(true);
    assert_eq!(v.to_proto().shared, Some(SharedInfo {}));
    check(from_ref(&v), &destroy(from_ref(&v)), &[reserved(disk(4))]);
    refused(
        &[v.clone(), v.clone()],
        &destroy(&[v]),
        "Persistent volume disk(reservations: [(DYNAMIC,a)])[v:data]<SHARED>:4 cannot be removed due to \
         additional shared copies",
    );
}

#[test]
fn a_volume_grows_and_shrinks() {
    let (small, large) = (volume("v", 4), volume("v", 6));
    let (rest, less) = (reserved(disk(10)), reserved(disk(8)));
    check(&[small.clone(), rest.clone()], &grow(&small, &reserved(disk(2))), &[large.clone(), less.clone()]);
    check(&[large.clone(), less], &shrink(&large, 2.0), &[small.clone(), rest]);
    for value in [0.0, -1.0, 4.0, 5.0, f64::NAN, f64::INFINITY, 1e300] {
        let why = format!("{small} cannot shrink by {value}");
        refused(from_ref(&small), &shrink(&small, value), &why);
    }
    let huge = disk(6_000_000_000_000_000);
    refused(&[], &grow(&huge, &huge), "disk:6e+15 cannot grow by 6e+15");
    let provided = small.with_provider_id(Some("p".to_owned()));
    refused(&[], &shrink(&provided, 1.0), "Operation not supported for resource provider");
}

#[test]
fn what_is_no_conversion_is_refused() {
    for kind in [Type::Launch, Type::LaunchGroup, Type::CreateDisk, Type::DestroyDisk] {
        refused(&[], &operation(kind), "Operation not supported");
    }
    refused(&[], &operation(Type::Unknown), "Unknown operation");
    refused(&[], &operation(Type::Reserve), "The operation's body is missing");
    refused(&[], &unreserve(&[disk(1)]), "disk:1 has no reservation to take off");
    refused(&[], &reserve(&[disk(1)], &[]), "disk:1 has no reservation to take off");
}

#[test]
fn what_was_made_is_found_again_in_what_is_configured() {
    let fixed = disk(9).with_reservations(vec![Reservation::fixed("a")]);
    let configured: Resources = [disk(10), fixed].into_iter().collect();
    let refined = disk(3).with_reservations(vec![
        Reservation::fixed("a"),
        Reservation::dynamic("a/b", None),
        Reservation::dynamic("a/b/c", None),
    ]);
    let made: Resources = [volume("v", 4).with_shared(true), refined].into_iter().collect();
    let total = configured.with_checkpointed(&made).unwrap();
    assert_eq!(total.checkpointed(), made);
    assert_eq!(total.disk(), configured.disk());
    let why = Resources::new().with_checkpointed(&made).unwrap_err().to_string();
    assert_eq!(why, "Incompatible agent resources: {} does not contain disk:4");
    let why = configured.with_checkpointed(&Resources::from(disk(1))).unwrap_err().to_string();
    assert_eq!(why, "Unexpected checkpointed resources disk:1");
}
