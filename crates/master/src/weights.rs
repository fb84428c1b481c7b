//! `/weights` and GET_WEIGHTS: the weights of roles.

use std::sync::Arc;

use http::{Method, Request, Response};
use master_core::{OperatorCall, View};
use proto::json::{self, Json as _, JsonError, Names, Writer};
use proto::mesos::v1::WeightInfo;
use proto::mesos::v1::master::{Response as Answer, call, response};

use crate::operator;
use crate::shell::Shell;

/// GET and PUT of `/weights`.
pub(crate) async fn handle(shell: Arc<Shell>, request: Request) -> Response {
    if request.method == Method::PUT {
        return update(&shell, &request.body).await;
    }
    let snapshot = match shell.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(refusal) => return refusal,
    };
    let mut w = Writer::new();
    w.array(|w| infos(&snapshot.view).iter().for_each(|info| info.write_json(w, Names::V0)));
    Response::ok_jsonp(w.into_bytes(), request.query.get("jsonp"))
}

async fn update(shell: &Shell, body: &[u8]) -> Response {
    let text = String::from_utf8_lossy(body);
    match json::list_from_slice(body, Names::V0) {
        Ok(weight_infos) => {
            operator::operate(shell, OperatorCall::UpdateWeights(call::UpdateWeights { weight_infos })).await
        }
        Err(why @ JsonError::Syntax(_)) => {
            Response::bad_request(format!("Failed to parse update weights request JSON '{text}': {why}"))
        }
        Err(why @ (JsonError::Convert(_) | JsonError::Missing(_))) => {
            Response::bad_request(format!("Failed to convert weights JSON array to protobuf '{text}': {why}"))
        }
    }
}

/// The answer to GET_WEIGHTS.
pub(crate) fn answer(view: &View) -> Answer {
    let weight_infos = infos(view);
    Answer {
        r#type: Some(response::Type::GetWeights as i32),
        // COMPAT(mesos): an empty list is not even there (recorded/v1-GET_WEIGHTS.json).
        get_weights: (!weight_infos.is_empty()).then_some(response::GetWeights { weight_infos }),
        ..Answer::default()
    }
}

fn infos(view: &View) -> Vec<WeightInfo> {
    let info = |(role, weight): (&types::Role, &f64)| WeightInfo {
        role: Some(role.as_str().to_owned()),
        weight: *weight,
    };
    view.weights.iter().map(info).collect()
}
