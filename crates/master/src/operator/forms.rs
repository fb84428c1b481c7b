//! The v0 forms of operators' operations: `/reserve`, `/unreserve`, `/create-volumes`
//! and `/destroy-volumes`, with `slaveId` and a JSON list in the body.

use std::sync::Arc;

use http::{Query, Request, Response};
use master_core::OperatorCall;
use proto::json::{self, Names};
use proto::mesos::v1;
use proto::mesos::v1::master::call;

use super::changes::operate;
use crate::shell::Shell;

/// POST of `/reserve`.
pub(crate) async fn reserve(shell: Arc<Shell>, request: Request) -> Response {
    let form = form(&request);
    let call = (|| {
        let agent_id = agent(&form)?;
        // COMPAT(mesos): this one is said in other words than the three below.
        let resources = list(&form, "resources", "Error")?;
        let source = form.get("source").map_or(Ok(Vec::new()), |_| list(&form, "source", "Error"))?;
        Ok(OperatorCall::ReserveResources(call::ReserveResources { agent_id, resources, source }))
    })();
    serve(&shell, call).await
}

/// POST of `/unreserve`.
pub(crate) async fn unreserve(shell: Arc<Shell>, request: Request) -> Response {
    let form = form(&request);
    let call = (|| {
        let agent_id = agent(&form)?;
        let resources = list(&form, "resources", "Error in")?;
        Ok(OperatorCall::UnreserveResources(call::UnreserveResources { agent_id, resources }))
    })();
    serve(&shell, call).await
}

/// POST of `/create-volumes`.
pub(crate) async fn create_volumes(shell: Arc<Shell>, request: Request) -> Response {
    let form = form(&request);
    let call = (|| {
        let agent_id = agent(&form)?;
        let volumes = list(&form, "volumes", "Error in")?;
        Ok(OperatorCall::CreateVolumes(call::CreateVolumes { agent_id, volumes }))
    })();
    serve(&shell, call).await
}

/// POST of `/destroy-volumes`.
pub(crate) async fn destroy_volumes(shell: Arc<Shell>, request: Request) -> Response {
    let form = form(&request);
    let call = (|| {
        let agent_id = agent(&form)?;
        let volumes = list(&form, "volumes", "Error in")?;
        Ok(OperatorCall::DestroyVolumes(call::DestroyVolumes { agent_id, volumes }))
    })();
    serve(&shell, call).await
}

async fn serve(shell: &Shell, call: Result<OperatorCall, String>) -> Response {
    match call {
        Ok(call) => operate(shell, call).await,
        Err(why) => Response::bad_request(why),
    }
}

fn form(request: &Request) -> Query {
    Query::parse(&String::from_utf8_lossy(&request.body))
}

fn agent(form: &Query) -> Result<v1::AgentId, String> {
    Ok(v1::AgentId { value: value(form, "slaveId")?.to_owned() })
}

fn value<'a>(form: &'a Query, key: &str) -> Result<&'a str, String> {
    form.get(key).ok_or_else(|| format!("Missing '{key}' query parameter in the request body"))
}

fn list(form: &Query, key: &str, error: &str) -> Result<Vec<v1::Resource>, String> {
    json::list_from_slice(value(form, key)?.as_bytes(), Names::V0)
        .map_err(|why| format!("{error} parsing '{key}' query parameter in the request body: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_no_list_is_said() {
        let form = Query::parse("slaveId=S0&resources=%5B%7B%22name%22%3A1%7D%5D&volumes={}");
        assert_eq!(agent(&form).unwrap().value, "S0");
        assert_eq!(value(&form, "x").unwrap_err(), "Missing 'x' query parameter in the request body");
        for key in ["resources", "volumes"] {
            let why = list(&form, key, "Error in").unwrap_err();
            let start = format!("Error in parsing '{key}' query parameter in the request body: ");
            assert!(why.starts_with(&start), "{why}");
        }
    }
}
