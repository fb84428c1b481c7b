//! TEARDOWN: an operator ends a framework.

use types::FrameworkId;

use crate::Master;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn operator_teardown(&mut self, framework: &FrameworkId, step: &mut Step<'_>) -> Reply {
        if self.frameworks.get(framework.as_str()).is_none() {
            return Reply::bad_request("No framework found with specified ID");
        }
        self.remove_framework(framework, step);
        Reply::ok()
    }
}
