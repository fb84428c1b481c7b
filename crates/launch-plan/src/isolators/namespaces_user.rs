//! `namespaces/user`: users of a container's own, who are nobody outside.

use crate::ids::{IDS_EACH, UserNamespace};
use crate::plan::{Container, Plan, Refusal};
use crate::root::Root;

pub(crate) fn prepare(container: &Container<'_>, plan: &mut Plan) -> Result<(), Refusal> {
    // One in another container that has none, of an earlier agent, has none either.
    let Some(first) = container.ids else { return Ok(()) };
    if let Some(uid) = container.owner.filter(|uid| *uid >= IDS_EACH) {
        let message =
            format!("The user id {uid} is not among the {IDS_EACH} of a container with a user namespace");
        return Err(Refusal(message));
    }
    if let Some(why) = plan.process.root.as_ref().and_then(why_not) {
        return Err(Refusal(why.to_owned()));
    }
    if !plan.process.layered.is_empty() {
        let message =
            "A user namespace needs volumes of images that are copies: set --image_provisioner_backend=copy";
        return Err(Refusal(message.to_owned()));
    }
    plan.process.user_namespace = Some(UserNamespace { first, count: IDS_EACH, files: Vec::new() });
    Ok(())
}

/// Why users of a container cannot have this root.
fn why_not(root: &Root) -> Option<&'static str> {
    match (&root.layers, root.is_for_another) {
        // Who enters a root needs more power over mounts than any user of the container has.
        (_, true) => Some("A command task with an image can have no user namespace; tasks of a group can"),
        // Overlays cannot map ids.
        (Some(_), false) => {
            Some("A user namespace needs a root that is a copy: set --image_provisioner_backend=copy")
        }
        (None, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use types::ContainerId;

    use super::*;
    use crate::root::Layers;

    fn check(ids: Option<u32>, owner: Option<u32>, root: Option<Root>, expected: Result<Option<u32>, &str>) {
        let id = ContainerId::root("c");
        let mut plan = Plan::default();
        plan.process.root = root;
        let outcome = prepare(&Container { ids, owner, ..Container::plain(&id, None) }, &mut plan);
        let first = outcome.map(|()| plan.process.user_namespace.map(|users| users.first));
        assert_eq!(first.map_err(|refusal| refusal.0), expected.map_err(str::to_owned));
    }

    #[test]
    fn who_has_users_of_its_own() {
        check(None, None, None, Ok(None));
        check(Some(600_000), Some(65_535), None, Ok(Some(600_000)));
        let copy = Root::default();
        check(Some(600_000), None, Some(copy.clone()), Ok(Some(600_000)));
        let many = "The user id 65536 is not among the 65536 of a container with a user namespace";
        check(Some(600_000), Some(65_536), None, Err(many));
        let layers = Some(Layers { links: "/l".to_owned(), count: 1 });
        check(
            Some(600_000),
            None,
            Some(Root { layers, ..copy.clone() }),
            Err("A user namespace needs a root that is a copy: set --image_provisioner_backend=copy"),
        );
        check(
            Some(600_000),
            None,
            Some(Root { is_for_another: true, ..copy }),
            Err("A command task with an image can have no user namespace; tasks of a group can"),
        );
    }
}
