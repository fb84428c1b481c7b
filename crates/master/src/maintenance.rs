//! The v0 forms of maintenance: `/maintenance/schedule`, `/maintenance/status`, `/machine/down`, `/machine/up`.

use std::sync::Arc;

use http::{Method, Request, Response};
use master_core::{OperatorCall, View};
use proto::json::{self, Json, Names};
use proto::mesos::v1::MachineId;
use proto::mesos::v1::maintenance::Schedule;
use proto::mesos::v1::master::call;

use crate::documents::maintenance;
use crate::operator;
use crate::shell::Shell;

/// GET or POST of `/maintenance/schedule`.
pub(crate) async fn schedule(shell: Arc<Shell>, request: Request) -> Response {
    if request.method == Method::GET {
        return show(&shell, &request, maintenance::schedule).await;
    }
    match json::from_slice_v0::<Schedule>(&request.body) {
        Ok(schedule) => {
            let call = call::UpdateMaintenanceSchedule { schedule };
            operator::operate(&shell, OperatorCall::UpdateMaintenanceSchedule(call)).await
        }
        Err(error) => Response::bad_request(error.to_string()),
    }
}

/// GET of `/maintenance/status`.
pub(crate) async fn status(shell: Arc<Shell>, request: Request) -> Response {
    show(&shell, &request, maintenance::status).await
}

/// POST of `/machine/down`.
pub(crate) async fn down(shell: Arc<Shell>, request: Request) -> Response {
    match machines(&request) {
        Ok(machines) => {
            let call = call::StartMaintenance { machines };
            operator::operate(&shell, OperatorCall::StartMaintenance(call)).await
        }
        Err(refusal) => refusal,
    }
}

/// POST of `/machine/up`.
pub(crate) async fn up(shell: Arc<Shell>, request: Request) -> Response {
    match machines(&request) {
        Ok(machines) => {
            let call = call::StopMaintenance { machines };
            operator::operate(&shell, OperatorCall::StopMaintenance(call)).await
        }
        Err(refusal) => refusal,
    }
}

fn machines(request: &Request) -> Result<Vec<MachineId>, Response> {
    json::list_from_slice(&request.body, Names::V0).map_err(|error| Response::bad_request(error.to_string()))
}

async fn show<M: Json>(shell: &Shell, request: &Request, message: fn(&View) -> M) -> Response {
    match shell.snapshot().await {
        Ok(snapshot) => {
            let body = json::to_vec(&message(&snapshot.view), Names::V0);
            Response::ok_jsonp(body, request.query.get("jsonp"))
        }
        Err(refusal) => refusal,
    }
}
