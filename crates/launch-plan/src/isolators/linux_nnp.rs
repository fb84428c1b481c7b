//! `linux/nnp`: files that are executed bring no privileges, whoever they belong to.

use crate::plan::Plan;

pub(crate) fn prepare(plan: &mut Plan) {
    plan.process.privileges.no_new_privs = true;
}
